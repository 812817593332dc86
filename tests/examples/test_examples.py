"""The examples and the notebook run, and do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*words: object, code: int = 0, text: str | None = None) -> str:
    """Run an example (or a program's text) as a person would; returns what it printed."""
    first = [sys.executable, *(["-"] if text is not None else []), *map(str, words)]
    done = subprocess.run(
        first,
        input=text,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()[:256, 96:352]).save(folder / "portrait.png")
    return folder / "portrait.png"


def test_a_folder_is_signed_and_its_files_are_explained(portrait: Path, tmp_path: Path) -> None:
    (portrait.parent / "notes.txt").write_text("no picture")
    said = run(EXAMPLES / "sign_folder.py", portrait.parent, tmp_path / "signed", "--name", "Grace")
    assert "ledger entry 0" in said and "left out notes.txt" in said
    assert "signed before" in run(
        EXAMPLES / "sign_folder.py", portrait.parent, tmp_path / "signed", "--name", "Grace"
    )
    signed = tmp_path / "signed" / "portrait.png"
    said = run(EXAMPLES / "verify_and_explain.py", signed)
    assert "signed by Grace (trusted)" in said and "ledger entry 0" in said
    data = bytearray(signed.read_bytes())
    data[-60] ^= 1
    signed.write_bytes(bytes(data))
    assert "failed" in run(EXAMPLES / "verify_and_explain.py", signed, code=1)
    assert "could not check" in run(EXAMPLES / "verify_and_explain.py", tmp_path / "none.jpg", code=2)


def test_a_picture_is_cloaked_with_a_report_and_measured(portrait: Path, tmp_path: Path) -> None:
    quick = ("--detectors", "blazeface-short", "--steps", "4")
    said = run(EXAMPLES / "cloak_with_report.py", portrait, tmp_path / "cloaked.png", *quick)
    assert "blazeface-short" in said and "made from portrait.png: trusted, cloaked" in said
    said = run(EXAMPLES / "measure_cloak.py", portrait, "--output", tmp_path / "report", *quick)
    assert "in a browser" in said and any((tmp_path / "report").glob("*.html"))


def test_the_notebook_runs_cell_by_cell() -> None:
    notebook = json.loads((EXAMPLES / "veilmark.ipynb").read_text())
    cells = ["".join(one["source"]) for one in notebook["cells"] if one["cell_type"] == "code"]
    assert all(not one.get("outputs") for one in notebook["cells"]), "kept without outputs"
    said = run(text="\n".join(cells))
    assert "portrait.signed.jpg is ledger entry 0" in said
    assert "['portrait.signed.jpg']" in said and "entry 0 captured by Ada Photographer" in said
    assert "cloaked already" in said
