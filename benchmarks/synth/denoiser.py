"""Train the small denoiser that an attacker in ``measure`` may use, and print what it takes off.

    python benchmarks/synth/denoiser.py --out denoiser.safetensors --steps 1500

It learns from scikit-image's and matplotlib's public-domain pictures under film and light veils with random parameters,
and under grainy and smooth noise. Printed: PSNR of crops that were not learned from, under veils, before and after.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.cbook
import numpy as np
import skimage.data
import torch
from PIL import Image
from torch.nn.functional import interpolate

from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas
from synth.measure.denoiser import Denoiser

_SIDE = 96
_NAMES = ("astronaut", "coffee", "chelsea", "rocket")


def pictures() -> list[torch.Tensor]:
    """``(3, H, W)`` each, in [0, 1]."""
    path = str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    hopper = np.asarray(Image.open(path).convert("RGB"))
    every = [hopper, *(np.asarray(getattr(skimage.data, name)()) for name in _NAMES)]
    return [torch.from_numpy(one.copy()).permute(2, 0, 1).float() / 255 for one in every]


def crop(sources: list[torch.Tensor], draws: np.random.Generator, held_out: bool) -> torch.Tensor:
    """``(1, 3, 96, 96)``; the right quarter of each picture is held out."""
    source = sources[int(draws.integers(len(sources)))]
    scale = float(draws.uniform(0.4, 1.1))
    source = interpolate(source[None], scale_factor=scale, mode="bilinear", antialias=True)
    height, width = source.shape[2:]
    edge = width * 3 // 4
    low, high = (min(edge, width - _SIDE), width - _SIDE) if held_out else (0, max(1, edge - _SIDE))
    left, top = int(draws.integers(low, high + 1)), int(draws.integers(0, max(1, height - _SIDE)))
    part = source[:, :, top : top + _SIDE, left : left + _SIDE]
    return part if part.shape[2:] == (_SIDE, _SIDE) else crop(sources, draws, held_out)


def veiled(clean: torch.Tensor, draws: np.random.Generator) -> torch.Tensor:
    """Under a veil, or noise."""
    seed = int(draws.integers(2**31 - 1))
    kind = draws.uniform()
    if kind < 0.65:
        veil = veil_of(VeilName.FILM if kind < 0.5 else VeilName.LIGHT)
        assert veil is not None
        canvas = Canvas(clean, torch.ones(1, 1, _SIDE, _SIDE), 1.0)
        with torch.no_grad():
            parameters = veil.settle(canvas, veil.random(canvas, seed))
            made = veil.render(canvas, parameters, float(draws.uniform(0.02, 0.16)))
    else:
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        if kind < 0.85:
            small = interpolate(noise, scale_factor=0.5)
            noise = interpolate(small, size=clean.shape[2:], mode="bilinear")
        made = clean + noise * float(draws.uniform(0.01, 0.08))
    return made.clamp(0, 1)


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=600, help="end earlier")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    draws, sources, network, began = np.random.default_rng(0), pictures(), Denoiser(), time.process_time()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(args.steps):
        done = max(step / args.steps, (time.process_time() - began) / args.seconds)
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * done))
        clean = torch.cat([crop(sources, draws, False) for _ in range(args.batch)])
        dirty = torch.cat([veiled(one[None], draws) for one in clean])
        loss = (network(dirty) - clean).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(
                f"step {step}: {float(loss.detach()):.4f}, {time.process_time() - began:.0f} CPU s",
                flush=True,
            )
            network.save(args.out)
    network.save(args.out)
    before: list[float] = []
    after: list[float] = []
    judged = np.random.default_rng(1)
    with torch.no_grad():
        for _ in range(60):
            clean = crop(sources, judged, True)
            dirty = veiled(clean, judged)
            for found, values in ((dirty, before), (network(dirty), after)):
                values.append(float(-10 * torch.log10((found - clean).square().mean().clamp_min(1e-10))))
    print(f"held-out crops: PSNR {np.mean(before):.2f} dB veiled, {np.mean(after):.2f} dB cleaned")


if __name__ == "__main__":
    main()
