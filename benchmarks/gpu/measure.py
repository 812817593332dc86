"""``measure swap --preset full`` in slices: each run goes on for some minutes and reports what is finished."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

_MINUTES = 7.5
#: Of the dry run: so many frames of each clip, their size, and after how many minutes it ends.
_DRY_FRAMES, _DRY_SIZE, _DRY_MINUTES = 34, (270, 480), 3


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A slice; the block counts as done whether or not the whole grid is, and says which part of it is. A dry run has
    trained one generator at least.
    """
    talking = Path(os.environ["VEILMARK_TEST_DATA"]) / "media" / "talking"
    folder = asked.work / "measure"
    person, target = (talking / f"{name}.mp4" for name in ("model1", "model2"))
    if asked.dry_run:
        person, target = (_short(one, asked.work) for one in (person, target))
    command = [
        sys.executable, "-m", "veilmark", "measure", "swap", "--person", str(person), "--target", str(target),
        "-o", str(folder), "--device", asked.device, "--i-have-consent", "--no-pictures",
    ]  # fmt: skip
    command += ["--weights", str(asked.weights)] if asked.weights else []
    if asked.dry_run:
        command += [
            "--preset", "tiny", "--frames", "20", "--held-out", "2", "--steps", "10", "--side", "480", "--seeds",
            "1,2,3", "--cloak-seeds", "0", "--veil", "noise", "--cloak-steps", "1", "--cloak-rounds", "1",
            "--detectors", "blazeface-back", "--attackers", "attacked", "--minutes", str(_DRY_MINUTES),
        ]  # fmt: skip
    else:
        command += ["--preset", "full", "--minutes", str(_MINUTES)]
    done = subprocess.run(command, capture_output=True, text=True)
    report = folder / "report.json"
    if done.returncode not in (0, 7) or not report.is_file():
        raise RuntimeError(done.stderr[-1200:])
    said = json.loads(report.read_text())
    if asked.dry_run and not said["data"]["generators"]:
        raise RuntimeError(
            f"no generator was trained within {_DRY_MINUTES} minutes; run again, it goes on there"
        )
    return {
        "finished": said["finished"], "valid": said["valid"], "headline": said["headline"],
        "generators": len(said["data"]["generators"]), "seconds of work": said["seconds"],
    }  # fmt: skip


def _short(clip: Path, folder: Path) -> Path:
    """The clip's beginning, small; made once."""
    import cv2
    import numpy as np

    from synth.extraction.footage import open_footage
    from synth.measure.clips import write_clip_whole

    made = folder / f"short-{clip.name}"
    if not made.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        frames = (
            np.asarray(cv2.resize(raw.pixels, _DRY_SIZE, interpolation=cv2.INTER_AREA), np.uint8)
            for raw in open_footage(clip)[0].frames(lambda index: index < _DRY_FRAMES)
        )
        write_clip_whole(made, frames, Fraction(25), 10)
    return made
