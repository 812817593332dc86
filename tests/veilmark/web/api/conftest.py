"""A service over records of which some are public; every answer is held against the descriptions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason='starlette is not installed: pip install "veilmark[web]"')
from httpx import Response
from starlette.testclient import TestClient

from tests.support.discoverable import Filled, copied, fill
from tests.support.openapi import Description
from tests.veilmark.web.conftest import token_of
from veilmark.web.api.about import description
from veilmark.web.app import create_app
from veilmark.web.settings import Limits, Role, Settings

#: Statuses that any HTTP service may give for any path; the C2PA's description does not list them each time.
GENERAL = frozenset({400, 401, 403, 404, 405, 408, 413, 421, 429, 503})


@dataclass
class Service:
    """A client that checks what it is answered."""

    client: TestClient
    filled: Filled
    tokens: dict[Role, str]
    own: Description
    c2pa: Description | None

    def __call__(self, method: str, url: str, *, by: Role | None = None, **options: Any) -> Response:
        headers = dict(options.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.tokens[by]}"
        answer = self.client.request(method, url, headers=headers, **options)
        path = answer.request.url.path
        self.own.check(method, path, answer, also=frozenset({405}))
        if self.c2pa is not None and any(path.startswith(f"/v1/{one}") for one in _C2PA):
            self.c2pa.check(method, path, answer, also=GENERAL)
        return answer

    def get(self, url: str, **options: Any) -> Response:
        return self("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        return self("POST", url, **options)


_C2PA = ("matches/", "manifests/", "services/")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, np.ndarray]) -> Filled:
    return fill(tmp_path_factory.mktemp("service"), portraits)


@pytest.fixture
def filled(once: Filled, tmp_path: Path) -> Filled:
    return copied(once, tmp_path)


@pytest.fixture(scope="session")
def own_description() -> Description:
    return Description(json.loads(description()))


@pytest.fixture(scope="session")
def c2pa_description() -> Description | None:
    """The C2PA's own description, where the test vectors are."""
    folder = os.environ.get("VEILMARK_TEST_DATA")
    file = Path(folder) / "vectors/softbinding/openapi-1.0.json" if folder else None
    return Description(json.loads(file.read_text()), "/v1") if file and file.is_file() else None


@pytest.fixture
def settings(filled: Filled) -> tuple[Settings, dict[Role, str]]:
    tokens, entries = {}, []
    for role in (Role.SIGNER, Role.KEEPER):
        tokens[role], entry = token_of(role)
        entries.append(entry)
    made = Settings(
        filled.home, discoverable=True, tokens=tuple(entries), witness="w.example/witness", limits=Limits()
    )
    return made, tokens


@pytest.fixture
def service(
    filled: Filled,
    settings: tuple[Settings, dict[Role, str]],
    own_description: Description,
    c2pa_description: Description | None,
) -> Iterator[Service]:
    with TestClient(create_app(settings[0]), base_url=settings[0].public_origin) as client:
        yield Service(client, filled, settings[1], own_description, c2pa_description)
