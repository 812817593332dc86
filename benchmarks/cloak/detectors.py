"""Seconds per picture for each detector, to look and to look with gradients.

    python benchmarks/cloak/detectors.py [--pixels 1000] [--threads 1] [--device cpu] [--weights DIR]

The picture is a square around one public-domain portrait, enlarged. The peer in the same run is the detector's own
``detect``: an attack pays "forward and backward" for each step, so their ratio is what a step costs in looks.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import skimage.data
import torch

from cloak.detectors import available, info, load

REPEATS = 5


def seconds(run: Callable[[], object], device: str) -> float:
    """Median of several runs, after one that does not count."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=1000, help="side of the picture")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="folder with the RetinaFace family")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    portrait = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1)[None].float() / 255
    size = (options.pixels, options.pixels)
    picture = torch.nn.functional.interpolate(portrait, size=size, mode="bicubic").clamp(0, 1)
    picture = picture.to(options.device)
    print(f"{options.pixels} x {options.pixels} pixels, {options.device}, {options.threads} thread(s)")
    print(f"{'detector':22}{'detect':>10}{'forward and backward':>24}{'ratio':>8}{'faces':>7}")
    for name in available(options.weights):
        detector = load(name, options.device, options.weights)
        faces = detector.detect(picture)[0]
        look = seconds(lambda d=detector: d.detect(picture), options.device)  # type: ignore[misc]
        row = f"{name:22}{look:>9.3f}s"
        if info(name).differentiable:

            def step(d=detector, focus=faces.boxes):  # type: ignore[no-untyped-def]
                attempt = picture.clone().requires_grad_(True)
                (found,) = d.candidates(attempt, [focus])
                return torch.autograd.grad(found.logits.clamp(min=-2).sum(), attempt)

            both = seconds(step, options.device)
            row += f"{both:>23.3f}s{both / look:>8.1f}"
        else:
            row += f"{'-':>24}{'-':>8}"
        print(f"{row}{len(faces):>7}")


if __name__ == "__main__":
    main()
