"""A running application over a real home, asked in process."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason='starlette is not installed: pip install "veilmark[web]"')
import httpx
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
    """Send files with the form of a page; the answer after its redirects, when its job has ended."""
    parts = [("file", (one.name, one.read_bytes())) for one in files]
    return ended(client, client.post(path, data={"csrf": csrf_of(client, page), **fields}, files=parts))


def ended(client: TestClient, answer: Any, seconds: float = 60) -> Any:
    """The page of a job, when that has ended; any other answer as it is."""
    path = answer.url.path
    if answer.status_code != 200 or not re.fullmatch(r"/jobs/[\w-]{22}", path):
        return answer
    until = time.monotonic() + seconds
    while client.get(f"{path}/status").json()["state"] in ("queued", "running"):
        assert time.monotonic() < until, client.get(path).text
        time.sleep(0.05)
    return client.get(path)


@contextmanager
def running(home: Home, config: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The command itself, ``veilmark serve``, in a process of its own; its address, and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = folder / "service.toml"
    path.write_text(f"port = {port}\n{config}")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "serve", "--config", str(path)],
        env={**os.environ, "VEILMARK_HOME": str(home.data), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{address}/login", timeout=5).status_code == 200:
                    break
            time.sleep(0.1)
        assert process.poll() is None, process.stdout and process.stdout.read()
        yield address, process
    finally:
        process.kill()
        process.wait()
