"""What a search changes about a patch, and how: plain noise here, veils in :mod:`cloak.veils`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from cloak.attack import transforms
from cloak.attack.budget import NoiseBudget, to_grey
from cloak.attack.task import Schedule, Task

#: No value moves further in a step than so many times the average.
_MAX_STEP_RATIO = 3.0


class Change(Protocol):
    """The state of a search: what is added to a patch, and how a gradient moves it."""

    @property
    def noise(self) -> Tensor:
        """``(1, 3, H, W)``, what is added to the patch; within its budget."""
        ...

    def update(self, gradient: Tensor, number: int, residuals: Sequence[float]) -> None:
        """Step ``number``: move against the gradient ``(1, 3, H, W)`` of what the detectors make of it.

        ``residuals``: for each face and then each decoy, how far the detector that holds out longest there is from
        evaded, in [0, 1].
        """
        ...

    def finish(self) -> None:
        """Called where a search may end before its last step."""
        ...


class NoiseChange:
    """Noise within a largest change of each value and an energy over each face; steps of momentum."""

    def __init__(self, task: Task, schedule: Schedule, rng: random.Random, start: Tensor | None) -> None:
        self.task, self.schedule = task, schedule
        if start is None:
            generator = torch.Generator().manual_seed(rng.randrange(2**31))
            start = (torch.rand(task.clean.shape, generator=generator) - 0.5).to(task.clean)
            start = (
                (transforms.gaussian_blur(start, schedule.smooth) if schedule.smooth else start)
                * task.limit
                / 2
            )
        self.budget = NoiseBudget(task)
        self._noise = self.budget.project(start)
        self.velocity = torch.zeros_like(task.clean)

    @property
    def noise(self) -> Tensor:
        return self._noise

    def update(self, gradient: Tensor, number: int, residuals: Sequence[float]) -> None:
        schedule = self.schedule
        if self.task.grey:
            gradient = to_grey(gradient)
        if schedule.smooth:
            gradient = transforms.gaussian_blur(gradient, schedule.smooth)
        self.velocity = schedule.momentum * self.velocity + gradient
        share = 0.5 + 0.5 * math.cos(math.pi * number / max(1, schedule.steps))
        size = schedule.last_step + (schedule.first_step - schedule.last_step) * share
        self._noise = self.budget.project(self._noise - size * self.task.limit * self._direction())

    def finish(self) -> None:
        """Noise is within its budget after every step."""

    def _direction(self) -> Tensor:
        """The velocity scaled to a root mean square of 1 where noise may be; no value beyond :data:`_MAX_STEP_RATIO`.

        What a face may be changed is bounded by energy rather than by the largest change, so steps are longer where
        more is gained: at equal PSNR more falls than with the velocity's sign.
        """
        allowed = self.velocity * (self.task.limit > 0)
        share = (self.task.limit > 0).float().mean().clamp_min(1e-6)
        size = (allowed.square().mean() / share).sqrt().clamp_min(1e-12)
        return (allowed / size).clamp(-_MAX_STEP_RATIO, _MAX_STEP_RATIO)
