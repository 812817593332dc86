"""The comparison: clean data, noise, veils and their controls, both orders of two contracted models, in slices.

::

    VEILMARK_TEST_DATA=... python benchmarks/synth/comparison.py --work WORK --out RESULTS --weights DIR --minutes 18

Run again, it goes on where it stopped; exit code 7 says that something is missing. The reduced design: ``tiny``, 100
frames, 24 held-out ones, 800 steps, one cloak seed, 60 steps of search in one round against three detectors. Both
orders are done for ``--generators`` seeds of the swapper first by ``naive``, then by ``attacked`` too, then with the
one-shot attacker, which learns from both models and from two moving public-domain portraits and is shown eight
pictures. ``RESULTS/ORDER`` and ``RESULTS/ORDER-one-shot`` get ``report.json`` and ``report.csv``, without pictures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from provenance.home import Home
from synth.consent.permission import permission_for
from synth.measure.cache import Cache
from synth.measure.clips import write_clip_whole
from synth.measure.experiment import Result
from synth.measure.summary.report import experiment_report
from synth.measure.swap.experiment import measure_swap
from synth.measure.swap.options import PRESETS, SwapExperimentOptions
from synth.measure.swap.plan import estimate_work
from synth.report.document import without_pictures
from synth.report.write import write_report

DESIGN = replace(
    PRESETS["tiny"],
    veils=("film", "noise"), cloak_seeds=(0,), frames=100, held_out=24, steps=800, cloak_steps=60, cloak_rounds=1,
    against=("blazeface-back", "blazeface-short", "centerface"),
)  # fmt: skip
ORDERS = {"model1-into-model2": ("model1", "model2"), "model2-into-model1": ("model2", "model1")}
PICTURES = 8


def main() -> int:
    """Go on for so many minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="what is finished; faces lie there")
    parser.add_argument("--out", type=Path, required=True, help="reports")
    parser.add_argument("--weights", type=Path, help="a folder with weights of further detectors")
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--generators", type=int, default=1, help="seeds of each cell, of three; default 1")
    parser.add_argument(
        "--attackers", default="naive,attacked,one-shot", help="comma-separated, one after the other"
    )
    parser.add_argument("--frames", type=int, default=DESIGN.frames)
    parser.add_argument("--steps", type=int, default=DESIGN.steps)
    parser.add_argument("--cloak-steps", type=int, default=DESIGN.cloak_steps)
    parser.add_argument("--plan", action="store_true", help="only say how long all three seeds take")
    asked = parser.parse_args()
    end = time.monotonic() + 60 * asked.minutes
    swappers: list[str] = []
    for attacker in asked.attackers.split(","):
        one_shot = attacker == "one-shot"
        swappers += [] if one_shot else [attacker]
        options = replace(
            DESIGN, attackers=("one-shot",) if one_shot else tuple(swappers), weights=asked.weights,
            frames=asked.frames, steps=asked.steps, cloak_steps=asked.cloak_steps,
        )  # fmt: skip
        if one_shot:
            people = tuple(_portraits(asked.work))
            options = replace(options, seeds=tuple(range(1, PICTURES + 1)), people=people)
        for order in ORDERS:
            wanted = PICTURES if one_shot else asked.generators
            if not _measured(order, options, wanted, end, asked):
                print(f"{order}, {attacker}: not finished", flush=True)
                return 7
            print(f"{order}, {attacker}: finished", flush=True)
    return 0


def _measured(
    order: str, options: SwapExperimentOptions, generators: int, end: float, asked: argparse.Namespace
) -> bool:
    """One order: whether so many generators of each cell were measured; the report is written in any case."""
    talking = Path(os.environ["VEILMARK_TEST_DATA"]) / "media" / "talking"
    person, target = (talking / f"{name}.mp4" for name in ORDERS[order])
    cache, wanted = Cache(asked.work / order), generators * len(options.variants) * len(options.parsed)
    if asked.plan:
        print("\n".join(estimate_work(person, options, cache).lines()), flush=True)
        return True
    footage = {"a": person, "b": target}
    footage |= {f"further {place}": one for place, one in enumerate(options.people)}
    consent = {
        side: permission_for([path], Home.locate(), declared=True).to_json() for side, path in footage.items()
    }
    enough = False

    def tell(line: str) -> None:
        nonlocal enough
        enough = line.startswith(f"generator {wanted + 1} of")
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

    def stop() -> bool:
        return enough or time.monotonic() >= end

    began, computed = time.monotonic(), sum(os.times()[:4])
    result = measure_swap(person, target, consent, options, cache, tell=tell, stop=stop, partial=stop)
    print(f"{time.monotonic() - began:.0f} s, {sum(os.times()[:4]) - computed:.0f} of computing", flush=True)
    _written(result, asked.work / "report", asked.out / (order + "-one-shot" * options.parsed[0].one_shot))
    return len(result.cells) >= wanted


def _written(result: Result, private: Path, out: Path) -> None:
    """The figures alone."""
    private.mkdir(parents=True, exist_ok=True)
    report = without_pictures(experiment_report(result))
    write_report(report, private)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("report.json", "report.csv"):
        shutil.copyfile(private / name, out / name)
    print(report.headline, flush=True)


def _portraits(work: Path) -> Iterator[Path]:
    """Two public-domain portraits, filmed by a camera that turns, nears and drifts."""
    import matplotlib.cbook
    import skimage.data

    path = str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    hopper = np.asarray(Image.open(path).convert("RGB"))
    for name, pixels in (("astronaut", np.asarray(skimage.data.astronaut())), ("hopper", hopper)):
        clip = work / f"{name}.mp4"
        if not clip.is_file():
            work.mkdir(parents=True, exist_ok=True)
            write_clip_whole(clip, _moving(np.asarray(pixels, np.uint8)), Fraction(25), 12)
        yield clip


def _moving(pixels: np.ndarray, count: int = 150) -> Iterator[np.ndarray]:
    height, width = pixels.shape[:2]
    for step in range(count):
        phase = 2 * np.pi * step / count
        matrix = cv2.getRotationMatrix2D(
            (width / 2, height / 2), 9 * np.sin(phase + 1), 1 + 0.12 * np.sin(phase)
        )
        matrix[:, 2] += (8 * np.cos(phase), 6 * np.sin(2 * phase))
        shape = (width // 2 * 2, height // 2 * 2)
        yield np.asarray(cv2.warpAffine(pixels, matrix, shape, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
