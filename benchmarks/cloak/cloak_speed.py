"""What a cloak of a picture costs, in processor seconds, beside one look of the attacked detectors.

::

    python benchmarks/cloak/cloak_speed.py --weights DIR PICTURE...
    python benchmarks/cloak/cloak_speed.py --weights DIR --fast --judges none PICTURE...
    python benchmarks/cloak/cloak_speed.py --weights DIR --megapixels 1 PICTURE      # resized, sides in proportion
    python benchmarks/cloak/cloak_speed.py --weights DIR --tiles 5 PICTURE           # 5 x 5 copies, 25 faces

One thread; processor seconds, so that other programs on the machine hardly count. "Looks" is the cost divided by that
of one look: a forward pass of every attacked detector at the picture, as large as detectors are shown it. The expected
time is what a person is told before the search begins.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from cloak import CloakOptions, cloak_bytes
from cloak.evaluate.detect import DetectorLoader, detect_pixels
from cloak.picture.estimate import WorkEstimate
from cloak.pixels import display_picture
from provenance.media.picture import open_picture


def enlarged(pixels: np.ndarray, megapixels: float | None, tiles: int) -> np.ndarray:
    """The picture repeated in rows and columns, and then resized."""
    pixels = np.tile(pixels, (tiles, tiles, 1))
    if megapixels is None:
        return pixels
    factor = (megapixels * 1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--attack", help="names, separated by commas; default: all that are here")
    parser.add_argument("--judges", help="names, or none; default: all that are here")
    parser.add_argument("--strength", default="mid")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--format", default="PNG")
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--tiles", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # the expected time is of the clock that the search reads; on a busy machine that of this process is meant
    time.perf_counter = time.process_time
    options = CloakOptions(
        strength=asked.strength,
        detectors=tuple(asked.attack.split(",")) if asked.attack else None,
        judges=None
        if asked.judges is None
        else ()
        if asked.judges == "none"
        else tuple(asked.judges.split(",")),
        weights=asked.weights,
        rounds=asked.rounds,
        fast=asked.fast,
        format=asked.format,
    )
    loader = DetectorLoader(options)
    began = time.process_time()
    attacked = loader().attacked
    print(f"{len(attacked)} attacked detectors, loaded in {time.process_time() - began:.1f} s")
    for path in asked.pictures:
        pixels = enlarged(open_picture(path).pixels, asked.megapixels, asked.tiles)
        shown = display_picture(pixels).pixels
        looks = []
        for _ in range(2):
            began = time.process_time()
            for detector in attacked:
                detect_pixels(detector, shown)
            looks.append(time.process_time() - began)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG" if asked.format == "JPEG" else "PNG", compress_level=1)
        told: list[WorkEstimate] = []
        began = time.process_time()
        report = cloak_bytes(
            open_picture(buffer.getvalue()), options, loader=loader, on_estimate=told.append
        ).report
        took = time.process_time() - began
        chosen = [face for face in report.faces if face.chosen]
        left = {
            condition: sum(row.after[condition] for row in report.detectors if row.attacked)
            for condition in ("published", "jpeg75", "half")
        }
        before = sum(row.before for row in report.detectors if row.attacked)
        print(
            f"{path.stem} {pixels.shape[1]} x {pixels.shape[0]}: {len(chosen)} faces, {report.steps} steps, "
            f"{took:.1f} s, {took / min(looks):.0f} looks of {min(looks):.2f} s; expected "
            + (f"{told[0].expected:.1f} s" if told else "nothing")
            + f"; left of {before} finds: {'/'.join(map(str, left.values()))}; FLIP "
            + ", ".join(f"{face.quality.flip or 0:.3f}" for face in chosen[:4]),
            flush=True,
        )


if __name__ == "__main__":
    main()
