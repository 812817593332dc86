"""Veils: how many faces a second are rendered and weighed by FLIP, there and back, as a search does in each step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.common import busy_share, forget_memory, peak_memory, seconds_of
from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas
from cloak.veils.visibility import Visibility


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """For each veil faces a second, device busy, memory."""
    device, side = asked.device, 96 if asked.dry_run else 512
    runs = 2 if asked.dry_run else 20
    small = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    clean = torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1).to(device)
    faces = torch.tensor([[0.2, 0.2, 0.8, 0.8]]) * side
    found: dict[str, Any] = {"side": side}
    for name in (VeilName.FILM, VeilName.LIGHT):
        step = _step(name, clean, faces)
        forget_memory(device)
        took = seconds_of(step, device, warm=1, runs=runs)
        found[name.value] = {
            "faces/s": round(1 / took, 3), "device busy": busy_share(step, device), "peak bytes": peak_memory(device),
        }  # fmt: skip
    return found


def _step(name: VeilName, clean: torch.Tensor, faces: torch.Tensor) -> Callable[[], None]:
    veil = veil_of(name)
    assert veil is not None
    side = clean.shape[-1]
    canvas = Canvas(clean, torch.ones(1, 1, side, side, device=clean.device), 1.0)
    parameters = veil.settle(canvas, veil.random(canvas, 1)).detach().requires_grad_(True)
    visibility = Visibility(clean, faces)

    def step() -> None:
        shown = veil.render(canvas, parameters, 0.06)
        visibility.loss(shown).backward()

    return step
