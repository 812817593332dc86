"""The places that a log may lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.logs import InFile, OnServer, Place


@pytest.fixture(params=["file", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a log: a test that takes it runs once for each kind."""
    path = tmp_path / "l"
    if request.param == "file":
        return InFile(path)
    return OnServer(request.getfixturevalue("postgres").new_database(), path)
