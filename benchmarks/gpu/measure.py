"""``measure swap --preset full`` in slices: each run goes on for some minutes and reports what is finished."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_MINUTES = 7.5


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A slice; the block counts as done whether or not the whole grid is, and says which part of it is."""
    talking = Path(os.environ["VEILMARK_TEST_DATA"]) / "media" / "talking"
    folder = asked.work / "measure"
    command = [
        sys.executable, "-m", "veilmark", "measure", "swap", "--person", str(talking / "model1.mp4"), "--target",
        str(talking / "model2.mp4"), "-o", str(folder), "--device", asked.device, "--i-have-consent",
        "--no-pictures",
    ]  # fmt: skip
    command += ["--weights", str(asked.weights)] if asked.weights else []
    if asked.dry_run:
        command += [
            "--preset", "tiny", "--frames", "20", "--held-out", "4", "--steps", "10", "--side", "256", "--seeds",
            "1,2,3", "--cloak-seeds", "0", "--veil", "noise", "--cloak-steps", "1", "--cloak-rounds", "1",
            "--detectors", "blazeface-back", "--attackers", "attacked", "--minutes", "1.5",
        ]  # fmt: skip
    else:
        command += ["--preset", "full", "--minutes", str(_MINUTES)]
    done = subprocess.run(command, capture_output=True, text=True)
    report = folder / "report.json"
    if done.returncode not in (0, 7) or not report.is_file():
        raise RuntimeError(done.stderr[-1200:])
    said = json.loads(report.read_text())
    return {
        "finished": said["finished"], "valid": said["valid"], "headline": said["headline"],
        "generators": len(said["data"]["generators"]), "seconds of work": said["seconds"],
    }  # fmt: skip
