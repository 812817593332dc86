"""A running application over a real home, asked in process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason='starlette is not installed: pip install "veilmark[web]"')
from starlette.testclient import TestClient

from provenance.home import Home
from provenance.setup import initialize
from veilmark.web.access import digest_of, new_token
from veilmark.web.app import create_app
from veilmark.web.settings import Limits, Role, RoleToken, Settings

Make = Callable[..., TestClient]
_CSRF = re.compile(r'name=csrf value="([0-9a-f]{64})"')


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with an identity and a ledger."""
    place = Home.at(tmp_path / "veilmark-home")
    initialize(place, subject="Ada Lovelace", algorithm="es256", passphrase=None)
    return place


@pytest.fixture
def make(home: Home) -> Iterator[Make]:
    """Makes a client of a service: ``make(studio=True)``, ``make(tokens=...)``; each has its own cookies."""
    opened: list[TestClient] = []

    def client(base: str = "", limits: dict[str, Any] | None = None, **changes: Any) -> TestClient:
        settings = replace(Settings(home, limits=Limits(**(limits or {}))), **changes)
        one = TestClient(create_app(settings), base_url=base or settings.public_origin)
        one.__enter__()
        opened.append(one)
        return one

    yield client
    for one in opened:
        one.__exit__(None, None, None)


def csrf_of(client: TestClient, path: str = "/verify") -> str:
    """The token of the forms on a page, which this client's session belongs to from then on."""
    found = _CSRF.search(client.get(path).text)
    assert found, path
    return found[1]


def token_of(role: Role, name: str = "") -> tuple[str, RoleToken]:
    """A fresh access token, and its entry in the configuration."""
    token = new_token()
    return token, RoleToken(name or role.value, role, digest_of(token))


def enter(client: TestClient) -> TestClient:
    """Open the studio as its owner does."""
    word = client.app.state.services.access.one_time()  # type: ignore[attr-defined]
    assert client.get(f"/enter?once={word}").status_code == 200
    return client


def send(client: TestClient, path: str, files: list[Path], page: str = "/verify", **fields: Any) -> Any:
    """Send files with the form of a page; the answer after its redirects."""
    parts = [("file", (one.name, one.read_bytes())) for one in files]
    return client.post(path, data={"csrf": csrf_of(client, page), **fields}, files=parts)
