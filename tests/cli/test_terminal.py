"""What people see on a real terminal, 80 and 120 columns wide."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.support.clips import film, wandering
from tests.support.terminal import BAR, Seen, on_a_terminal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
wide = pytest.mark.parametrize("columns", [80, 120])
_TOKENS = re.compile(r"\b[0-9a-f]{64}\b|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def check_screen(seen: Seen, *results: str) -> None:
    """Each result stands on one line of its own; no bar is left, and none was ever in a result's line."""
    for one in results:
        assert any(one in line for line in seen.lines), seen.text
    assert not [line for line in seen.lines if BAR.search(line)], seen.text
    for line in seen.bars:
        assert not re.search(r"signed |TRUSTED|cloaked |record no|kept |error|: .* found", line), line


@pytest.fixture
def folder(portrait_files: dict[str, Path], tmp_path: Path) -> Path:
    """Two pictures, one with a long name with spaces."""
    place = tmp_path / "pics"
    place.mkdir()
    shutil.copy(
        portrait_files["hopper"], place / "hopper in the archive of the navy, with a very long name.jpg"
    )
    shutil.copy(portrait_files["hopper"], place / "b.jpg")
    return place


@wide
def test_sign_verify_and_find(
    columns: int, folder: Path, ready: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    long = "out/hopper in the archive of the navy, with a very long name.jpg"
    seen = on_a_terminal("sign", "pics", "-o", "out", columns=columns)
    assert seen.code == 0
    check_screen(seen, "signed out/b.jpg  (record no. 0 in your log)", f"signed {long}")
    assert any(re.search("[012]/2", line) for line in seen.bars), seen.bars

    seen = on_a_terminal("verify", "out", columns=columns)
    assert seen.code == 0
    check_screen(
        seen, "✔ TRUSTED  out/b.jpg", long, "Test Photographer  (you trust this signer)", "camera photo"
    )
    check_screen(seen, "by the signer's own clock", "record no. 0 in your log", "this very file")
    assert "digitalCapture" not in seen.text and "/256" not in seen.text

    (told,) = ready("verify", "--json", "out/b.jpg").json
    seen = on_a_terminal("verify", "-v", "out/b.jpg", columns=columns)
    check_screen(seen, told["sha256"], told["times"][0]["value"], "c2pa.created")
    assert "captured; digitalCapture" in seen.text and "self-asserted" in seen.text

    seen = on_a_terminal("find", "-v", "pics/b.jpg", columns=columns)
    assert seen.code == 0
    check_screen(seen, "pics/b.jpg: 2 records found", told["sha256"], "source; captured")
    assert any("Looking up b.jpg" in line for line in seen.bars), "a single file spins"


@wide
def test_a_missing_file_does_not_stop_the_others(
    columns: int, signed: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = on_a_terminal("verify", "--brief", "nowhere.jpg", "signed/hopper.jpg", columns=columns)
    assert seen.code == 7
    check_screen(seen, "error: nowhere.jpg does not exist", "✔ TRUSTED  signed/hopper.jpg")


@wide
def test_cloak(
    columns: int,
    ready: Callable[..., Run],
    portrait_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    weak = (
        "--detectors",
        "mtcnn",
        "--judges",
        "none",
        "--steps",
        "2",
        "--veil",
        "noise",
        "--strength",
        "low",
    )
    seen = on_a_terminal("cloak", "hopper.jpg", "-o", "out.jpg", *weak, columns=columns)
    assert seen.code in (0, 7), seen.text
    check_screen(seen, "cloaked out.jpg  (record no. 0 in your log)", "mtcnn (attacked)")
    assert any("Cloaking hopper.jpg" in line and "%" in line for line in seen.bars), seen.bars
    assert not any("?" in line for line in seen.bars)


@wide
def test_synth(
    columns: int,
    ready: Callable[..., Run],
    portraits: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "clip.mp4", wandering(portraits["astronaut"], 6))
    fast = ("--size", "64", "--detectors", "blazeface-back", "--threshold", "bits=-1", "--i-have-consent")
    seen = on_a_terminal("synth", "extract", "clip.mp4", "-o", "set", *fast, columns=columns)
    assert seen.code == 0, seen.text
    check_screen(seen, "kept 6 faces of 6 frames in set")
    assert any("Extracting" in line and "%" in line for line in seen.bars), seen.bars


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80])
def test_measure(
    columns: int, portraits: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "clip.mp4", wandering(portraits["astronaut"], 40))
    asked = ("--person", "clip.mp4", "--target", "clip.mp4", "-o", "report", "--plan", "--i-have-consent")
    seen = on_a_terminal("measure", "swap", *asked, columns=columns)
    assert seen.code == 0, seen.text
    check_screen(seen, "cloaking 28 frames: film mid", "in all about")
    assert any("Measuring" in line and "%" in line for line in seen.bars), seen.bars


def test_what_is_piped_is_one_line_each(signed: dict[str, Path], ready: Callable[..., Run]) -> None:
    done = ready("verify", "-v", signed["hopper"])
    lines = done.out.splitlines()
    assert len(_TOKENS.findall(done.out)) >= 3
    assert all(re.match(r"✔|  \S|  {8,}", line) for line in lines), done.out
    assert max(map(len, lines)) > 100 and "\x1b" not in done.out


def test_after_ctrl_c_the_hint_names_resume(
    ready: Callable[..., Run], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        shutil.copy(folder / "b.jpg", folder / f"c{number}.jpg")
    monkeypatch.chdir(folder.parent)
    asked: list[int] = []

    def interrupt(pid: int, screen: str) -> None:
        if "signed out/b.jpg" in screen and not asked:
            asked.append(pid)
            os.kill(pid, signal.SIGINT)

    seen = on_a_terminal("sign", "pics", "-o", "out", columns=80, act=interrupt)
    assert seen.code == 130 and asked
    check_screen(seen, "interrupted", "hint: run the same command again with --resume")
    assert "error" not in seen.text
    done = ready("sign", "pics", "-o", "out", "--resume")
    assert done.code == 0 and "skipped pics/b.jpg" in done.out


def test_watch_says_what_it_watches_and_ends_when_asked(
    ready: Callable[..., Run],
    portrait_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hot").mkdir()
    shutil.copy(portrait_files["hopper"], tmp_path / "hot")

    asked: list[int] = []

    def end(pid: int, screen: str) -> None:
        if "signed " in screen and "Ctrl-C" in screen and "hopper.jpg ->" in screen and not asked:
            asked.append(pid)
            os.kill(pid, signal.SIGTERM)

    seen = on_a_terminal("watch", "hot", "-o", "out", "--settle", "0.1", columns=120, act=end)
    assert seen.code == 0, seen.text
    check_screen(seen, "watching hot; signed files go to out; Ctrl-C ends", "signed 1, failed 0, skipped 0")
    assert "error" not in seen.text
