"""The lip-sync by stage: seconds of computing for a second of film."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.gpu.common import forget_memory, peak_memory, synchronise
from synth.extraction.footage import open_footage
from synth.lipsync.film.film import Film
from synth.lipsync.mouth.model import MouthOptions
from synth.lipsync.pipeline import LipsyncOptions, _render_lipsync
from synth.lipsync.workspace import Workspace
from synth.quarantine import quarantine


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A contracted model says again what they said; the film is deleted."""
    talking = Path(os.environ["VEILMARK_TEST_DATA"]) / "media" / "talking"
    source, seconds = talking / "model1.mp4", 3.2 if asked.dry_run else 8.0
    asked.work.mkdir(parents=True, exist_ok=True)
    options = LipsyncOptions(device=asked.device)
    if asked.dry_run:
        options = replace(options, mouth=replace(MouthOptions(), epochs=2))
    forget_memory(asked.device)
    with quarantine() as private:
        size = (180, 320) if asked.dry_run else (720, 1280)
        with Film(private.place("short.mp4"), size, Fraction(25), source, seconds) as out:
            for raw in open_footage(source)[0].frames(lambda index: index < round(25 * seconds)):
                out.write(np.asarray(cv2.resize(raw.pixels, size, interpolation=cv2.INTER_AREA), np.uint8))
        began = time.perf_counter()
        report = _render_lipsync(
            out.made.path,
            out.made.path,
            private.place("said.mp4"),
            options,
            Workspace(asked.work / "lip-sync"),
        )
        synchronise(asked.device)
        took = time.perf_counter() - began
    assert report is not None
    return {
        "seconds of film": report.seconds,
        "seconds": round(took, 2),
        "CPU seconds by stage": {name: round(one, 2) for name, one in report.stages.items()},
        "peak bytes": peak_memory(asked.device),
    }
