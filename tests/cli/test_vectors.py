"""The exit code of ``verify`` for every public C2PA test file, from the table that lies beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.vectors


def expected_codes(table: str) -> dict[str, int]:
    """File name part to exit code, read from the two Markdown tables."""
    codes = {}
    for names, code in re.findall(r"^\| ([^|]+?) \|[^|]*\| (\d) \|$", table, re.M):
        for name in names.split(","):
            codes[name.strip()] = int(code)
    for name in ("camera", "landscape", "library"):
        codes[f"truepic-20230212-{name}"] = 1
    return codes


def test_every_public_file_gives_its_exit_code(veilmark: Callable[..., Run], test_data: Path) -> None:
    folder = test_data / "vectors" / "c2pa"
    codes = expected_codes((folder / "EXPECTED.md").read_text())
    files = sorted((folder / "image" / "jpeg").iterdir())
    assert len(files) == 26
    wrong = {}
    for path in files:
        expected = codes.get(path.stem.removeprefix("adobe-20220124-"), codes.get(path.stem))
        done = veilmark("verify", path, "--json")
        if done.code != expected:
            wrong[path.name] = (done.code, expected)
    assert wrong == {}
    broken = veilmark("verify", folder / "image" / "jpeg" / "adobe-20220124-CIE-sig-CA.jpg")
    assert broken.code == 5 and "ingredient" in broken.out, "a broken ingredient must be said"
