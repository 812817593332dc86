"""``veilmark cloak`` on videos: signed, linked to its original, and what happens to odd ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.cli.conftest import Run
from tests.support.video_clips import panned, write_clip

QUICK = ("--detectors", "centerface", "--strength", "high", "--steps", "20")


def test_a_signed_film_and_its_cloak(
    ready: Callable[..., Run], portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 5), sound=True)
    assert ready("sign", film, "-o", tmp_path / "signed.mp4").code == 0
    done = ready("cloak", tmp_path / "signed.mp4", "-o", tmp_path / "out", "--crf", "23", *QUICK, "--json")
    assert done.code == 0, done.err
    (data,) = done.json
    report, output = data["report"], tmp_path / "out" / "signed.mp4"
    assert data["output"] == str(output) and report["schema"] == "veilmark.cloak-video-report/2"
    assert report["encoder"]["crf"] == 23 and report["frames"] == 5 and report["faces"] == 1
    assert report["success"] is True
    assert data["signed"]["record"]["relation"] == "cloaked" and data["signed"]["record"]["parents"]
    assert sorted(path.name for path in output.parent.iterdir()) == ["signed.mp4", "signed.mp4.receipt"]
    verdict = ready("verify", output, "--json")
    assert verdict.code == 0 and verdict.json[0]["relation"] == "cloaked"
    assert verdict.json[0]["parents"][0]["relation"] == "captured"
    again = ready("cloak", output, "-o", tmp_path / "twice.mp4", *QUICK)
    assert again.code == 2 and "cloaked already" in again.err


def test_exit_codes_of_odd_films(ready: Callable[..., Run], tmp_path: Path) -> None:
    faceless = write_clip(tmp_path / "faceless.mp4", [np.full((96, 96, 3), 128, np.uint8)] * 3)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(faceless.read_bytes()[:600])
    for film, code in ((faceless, 6), (broken, 3)):
        done = ready("cloak", film, "-o", tmp_path / "out.mp4", *QUICK)
        assert done.code == code and "\nerror: " in "\n" + done.err, done.err
    done = ready("cloak", faceless, "-o", tmp_path / "out.avi", *QUICK)
    assert done.code == 2 and "H.264" in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == []
