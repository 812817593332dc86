"""The face swapper's training step: ours against plain fp32, against what the card multiplies, and what it holds.

The batch is drawn on the device and made worse there, as in training. ``plain`` is the same networks and losses in
float32 without a compiler, NCHW, one pass through the encoder for each person, and unfused Adam.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.common import busy_share, forget_memory, peak_memory, product_rate, seconds_of
from synth.swap.config import Architecture, Preset, preset
from synth.swap.model import Generator, on_device
from synth.swap.training.augment import Batch, augmented
from synth.swap.training.losses import reconstruction


def measured(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Images a second of both people, share of the measured bf16 rate, device busy, memory."""
    device, chosen = asked.device, preset(name.split()[1])
    if asked.dry_run:
        chosen = Preset(chosen.name, Architecture(size=64, width=8, code=32))
    batch, side = (2 if asked.dry_run else chosen.recipe.batch), chosen.architecture.size
    runs = 2 if asked.dry_run else 10
    rate = product_rate(device, torch.bfloat16, 256 if asked.dry_run else 8192)
    found: dict[str, Any] = {"batch": batch, "side": side, "bf16 flop/s": rate}
    for label, plain in (("plain fp32 eager", True), ("ours", False)):
        forget_memory(device)
        step = _step(chosen, batch, device, plain)
        with FlopCounterMode(display=False) as counter:
            step()
        took = seconds_of(step, device, warm=1 if asked.dry_run else 5, runs=runs)
        found[label] = {
            "images/s": round(2 * batch / took, 2),
            "share of bf16": round(counter.get_total_flops() / took / rate, 5),
            "device busy": busy_share(step, device),
            "peak bytes": peak_memory(device),
        }
    found["times plain"] = round(found["ours"]["images/s"] / found["plain fp32 eager"]["images/s"], 3)
    return found


def _step(chosen: Preset, batch: int, device: str, plain: bool) -> Callable[[], None]:
    torch.manual_seed(0)
    model = Generator(chosen.architecture, ("a", "b"))
    model = model.to(device) if plain else on_device(model, torch.device(device))
    fused = {} if plain else {"fused": True}
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.recipe.rate, betas=(0.5, 0.99), **fused)
    draws = torch.Generator(device=device).manual_seed(0)
    banks = {side: _faces(chosen.architecture.size, device, seed) for seed, side in enumerate("ab")}

    def drawn(side: str) -> Batch:
        pixels, mask, details = banks[side]
        which = torch.randint(len(pixels), (batch,), generator=draws, device=device)
        return augmented(pixels[which], mask[which], details[which], chosen.augmentation, draws)

    def step() -> None:
        batches = {side: drawn(side) for side in "ab"}
        if plain:
            made: dict[str, Any] = {side: model.as_person(one.seen, side) for side, one in batches.items()}
        else:
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                made = model({side: one.seen for side, one in batches.items()})
        terms = [
            term
            for side, (colours, mask) in made.items()
            for term in reconstruction(colours, mask, batches[side], chosen.weights, None).values()
        ]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(terms).sum().backward()
        optimizer.step()

    return step


def _faces(size: int, device: str, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smooth noise with an oval mask; what pictures show does not matter for speed."""
    draws = torch.Generator().manual_seed(seed)
    small = torch.rand(32, 3, 9, 9, generator=draws)
    pictures = torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic").clamp(0, 1)
    places = torch.linspace(-1, 1, size)
    far = (places[None] / 0.66) ** 2 + (places[:, None] / 0.8) ** 2
    mask = (far < 1).float().expand(32, 1, size, size)
    return pictures.to(device), mask.to(device), (mask * 0.5).to(device)
