"""What a training will take on this machine, told before it begins."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from synth.swap.config import Preset
from synth.swap.features import load_features
from synth.swap.training.checkpoint import Origin
from synth.swap.training.data import Bank
from synth.swap.training.train import Run, generator_step

_BATCH = 2


def seconds_of(preset: Preset, sides: tuple[str, ...], device: str | torch.device) -> float:
    """About how long all steps take, seconds: two steps of two faces of noise are timed, and the second is scaled up.

    Args:
        preset: with its number of steps.
        sides: of the generator.
    """
    where, size = torch.device(device), preset.architecture.size
    short = replace(preset, recipe=replace(preset.recipe, batch=_BATCH))
    run = Run(Origin(short, sides, {}, {}, 0, {}), where)
    features = load_features(preset.features, size, where)
    shapes = ((2 * _BATCH, size, size, 3), (2 * _BATCH, size, size), (2 * _BATCH, size, size))
    noise = Bank(*(torch.randint(0, 256, one, dtype=torch.uint8).to(where) for one in shapes))
    taken = 0.0
    for _ in range(2):
        before = time.perf_counter()
        terms = generator_step(run, dict.fromkeys(sides, noise), features)
        sum(float(one) for one in terms.values())  # waits for a graphics card
        taken = time.perf_counter() - before
    return preset.recipe.steps * taken * preset.recipe.batch / _BATCH


def in_words(seconds: float) -> str:
    """``"12 minutes"``, ``"5 hours"``, ``"8 days"``."""
    for unit, length in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else "a minute"
