"""What a search changes about a patch, and how: plain noise here, veils in :mod:`cloak.veils`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from cloak.attack import transforms
from cloak.attack.budget import project, reduce_chroma, to_grey
from cloak.detectors.matching import expand_boxes
from cloak.attack.task import Schedule, Task

#: How far a decoy's noise reaches beyond its zone, in its sizes.
_DECOY_MARGIN = 0.1
#: No value moves further in a step than so many times the average.
_MAX_STEP_RATIO = 3.0


class Change(Protocol):
    """The state of a search: what is added to a patch, and how a gradient moves it."""

    @property
    def noise(self) -> Tensor:
        """``(1, 3, H, W)``, what is added to the patch; within its budget."""
        ...

    def update(self, gradient: Tensor, number: int) -> None:
        """Step ``number``: move against the gradient ``(1, 3, H, W)`` of what the detectors make of it."""
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
        self.face_windows = _box_slices(task.faces, task.clean.shape[-2:])
        self.decoy_windows = (
            _box_slices(expand_boxes(task.zones, _DECOY_MARGIN), task.clean.shape[-2:])
            if len(task.zones)
            else []
        )
        self._noise = self._project(start)
        self.velocity = torch.zeros_like(task.clean)

    @property
    def noise(self) -> Tensor:
        return self._noise

    def update(self, gradient: Tensor, number: int) -> None:
        schedule = self.schedule
        if self.task.grey:
            gradient = to_grey(gradient)
        if schedule.smooth:
            gradient = transforms.gaussian_blur(gradient, schedule.smooth)
        self.velocity = schedule.momentum * self.velocity + gradient
        share = 0.5 + 0.5 * math.cos(math.pi * number / max(1, schedule.steps))
        size = schedule.last_step + (schedule.first_step - schedule.last_step) * share
        self._noise = self._project(self._noise - size * self.task.limit * self._direction())

    def _direction(self) -> Tensor:
        """The velocity scaled to a root mean square of 1 where noise may be; no value beyond :data:`_MAX_STEP_RATIO`.

        What a face may be changed is bounded by energy rather than by the largest change, so steps are longer where
        more is gained: at equal PSNR more falls than with the velocity's sign.
        """
        allowed = self.velocity * (self.task.limit > 0)
        share = (self.task.limit > 0).float().mean().clamp_min(1e-6)
        size = (allowed.square().mean() / share).sqrt().clamp_min(1e-12)
        return (allowed / size).clamp(-_MAX_STEP_RATIO, _MAX_STEP_RATIO)

    def _project(self, noise: Tensor) -> Tensor:
        noise = noise.detach()
        if self.task.grey:
            noise = to_grey(noise)
        elif self.task.chroma < 1:
            less_colourful = reduce_chroma(noise, self.task.chroma)
            for rows, columns in self.decoy_windows:  # it is on skin that colour shows
                less_colourful[..., rows, columns] = noise[..., rows, columns]
            noise = less_colourful
        noise = project(noise, self.task.clean, self.task.limit)
        if self.task.energy is not None:
            # each decoy within the same bound, but by itself: faces that are over it must not cost the decoys theirs
            shares = [_energy_scale(noise, [window], self.task.energy) for window in self.decoy_windows]
            whole = noise * _energy_scale(noise, self.face_windows, self.task.energy)
            for (rows, columns), share in zip(self.decoy_windows, shares, strict=True):
                whole[..., rows, columns] = noise[..., rows, columns] * share
            noise = whole
        return noise


def _box_slices(faces: Tensor, size: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The rows and columns of each face; everything where there is none."""
    face_windows = []
    for x1, y1, x2, y2 in faces.round().int().tolist():
        rows, columns = slice(max(0, y1), min(size[0], y2)), slice(max(0, x1), min(size[1], x2))
        if rows.stop > rows.start and columns.stop > columns.start:
            face_windows.append((rows, columns))
    return face_windows or [(slice(None), slice(None))]


def _energy_scale(noise: Tensor, face_windows: Sequence[tuple[slice, slice]], energy: float) -> Tensor:
    """What noise must be multiplied by so that its root mean square is at most ``energy`` in each window; at most 1."""
    spent = torch.stack([noise[..., rows, columns].square().mean() for rows, columns in face_windows])
    return (energy / spent.amax().sqrt().clamp_min(1e-9)).clamp_max(1)
