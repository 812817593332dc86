"""How many one-megapixel portraits a card cloaks in a second: one after another and several processes at a time, with
float32 and bfloat16.

::

    python benchmarks/cloak/cloak_gpu.py --device cuda --jobs 1,2,4,8,16 --pictures 32
    python benchmarks/cloak/cloak_gpu.py --device cpu --jobs 1,2 --pictures 4        # the same on processor cores

A single search is small: patches of a few hundred pixels, many layers. It leaves a card idle between launches, so that
processes that share it are what fills it. Each process loads the detectors, cloaks one picture that does not count, and
waits for the others; the clock runs from there to the last picture. A picture counts with its decoding, search,
encoding and judging by those attacked. The target is ten a second on an H200; the ratio is against one process with
float32 in the same run.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.cloak.cloak_common import portraits
from cloak import CloakOptions, cloak_bytes, detectors
from cloak.device import usable_device
from provenance.media.picture import open_picture

SIDE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--jobs", default="1,2,4,8")
    parser.add_argument("--pictures", type=int, default=32, help="how many, for each row")
    parser.add_argument("--strength", default="mid")
    parser.add_argument("--detectors", default="", help="attacked; default: every differentiable one")
    asked = parser.parse_args()
    usable_device(asked.device)
    name = torch.cuda.get_device_name(0) if asked.device.startswith("cuda") else "processor"
    print(
        f"{asked.pictures} portraits of {SIDE} x {SIDE} pixels at {asked.strength}, {asked.device} ({name})"
    )
    print(f"{'':8}{'jobs':>6}{'pictures/s':>12}{'ratio':>8}{'still found':>13}")
    first = 0.0
    for precision in ("fp32", "bf16"):
        for jobs in map(int, asked.jobs.split(",")):
            rate, found, shown = measured(asked, jobs, precision == "bf16")
            first = first or rate
            print(f"{precision:8}{jobs:6d}{rate:12.3f}{rate / first:8.2f}{found:7d} of {shown}", flush=True)


def measured(asked: argparse.Namespace, jobs: int, bf16: bool) -> tuple[float, int, int]:
    """Pictures a second; and how often an attacked detector still finds, as published, a face it found before."""
    context = get_context("spawn")
    ready, results = context.Barrier(jobs + 1), context.Queue()
    shares = [range(asked.pictures)[start::jobs] for start in range(jobs)]
    workers = [
        context.Process(target=work, args=(vars(asked), list(share), bf16, ready, results), daemon=True)
        for share in shares
    ]
    for worker in workers:
        worker.start()
    ready.wait(timeout=600)
    started = time.perf_counter()
    found = [results.get(timeout=3600) for _ in workers]
    seconds = time.perf_counter() - started
    for worker in workers:
        worker.join()
    return asked.pictures / seconds, sum(one for one, _ in found), sum(one for _, one in found)


def work(asked: dict[str, Any], share: Sequence[int], bf16: bool, ready: Barrier, results: Any) -> None:
    """One process: its pictures, each with another seed."""
    torch.set_num_threads(1)
    named = (
        tuple(asked["detectors"].split(","))
        if asked["detectors"]
        else tuple(detectors.available(differentiable=True))
    )
    found = shown = 0
    for place, seed in enumerate((0, *share)):
        options = CloakOptions(
            strength=asked["strength"],
            detectors=named,
            judges=(),
            seed=seed,
            device=asked["device"],
            bf16=bf16,
        )
        report = cloak_bytes(open_picture(portrait(seed)), options).report
        if place == 0:
            ready.wait(timeout=600)
            continue
        found += sum(one.after["published"] for one in report.detectors)
        shown += sum(one.before for one in report.detectors)
    results.put((found, shown))


def portrait(number: int) -> bytes:
    """One of the two portraits as a square of a megapixel, another pixel aside each time, in JPEG 95."""
    pixels = list(portraits().values())[number % 2]
    side = min(pixels.shape[:2])
    left = (pixels.shape[1] - side) // 2
    square = pixels[:side, left : left + side]
    large = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    buffer = io.BytesIO()
    Image.fromarray(np.roll(large, number, axis=1)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
