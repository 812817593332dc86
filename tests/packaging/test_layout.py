"""The layout that people and build tools rely on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked(pattern: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    files = done.stdout.split() or [str(path.relative_to(ROOT)) for path in ROOT.rglob(pattern)]
    return [ROOT / name for name in files if not name.startswith((".venv", "build"))]


def test_nothing_imports_the_command() -> None:
    importing = [
        str(path)
        for path in tracked("*.py")
        if path.is_relative_to(ROOT / "provenance")
        or path.is_relative_to(ROOT / "cloak")
        or path.is_relative_to(ROOT / "synth")
        or (path.is_relative_to(ROOT / "veilmark") and path.name != "__main__.py")  # which is the command
        if re.search(r"^\s*(import cli\b|from cli\b)", path.read_text(), re.M)
    ]
    assert importing == []


def test_no_module_is_too_long_to_read_in_one_sitting() -> None:
    sources = [path for path in tracked("*.py") if path.exists()]
    long = {str(path.relative_to(ROOT)): n for path in sources if (n := path.read_text().count("\n")) > 450}
    assert long == {}


def test_torchvision_is_never_imported() -> None:
    ours = [
        path
        for path in tracked("*.py")
        if not path.is_relative_to(ROOT / "tests")
        and re.search(r"^\s*(import|from) torchvision", path.read_text(), re.M)
    ]
    assert ours == []
