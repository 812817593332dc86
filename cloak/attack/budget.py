"""How much the noise may change, and where the eye minds it least.

The budget is hard: no channel of any pixel moves by more than ``epsilon`` before encoding, nor in a lossless
output. Inside it a mask spends the noise where the picture hides it: on texture and edges rather than on
smooth skin, and, where colour may change at all, rather in chroma than in luma.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack.task import Task
from cloak.attack.transforms import gaussian_blur
from cloak.detectors.geometry.matching import expand_boxes
from provenance.errors import UsageError


def project(noise: Tensor, clean: Tensor, limit: Tensor | float) -> Tensor:
    """The nearest noise within ``limit`` whose sum with ``clean`` stays in [0, 1]."""
    bounded = torch.maximum(torch.minimum(noise, torch.as_tensor(limit)), -torch.as_tensor(limit))
    return (clean + bounded).clamp(0, 1) - clean


def visibility_mask(clean: Tensor, *, smooth: float = 0.6) -> Tensor:
    """Which share of the budget each pixel gets.

    The eye misses noise on texture (contrast masking, Legge & Foley 1980), so the share grows with the local
    standard deviation of luma; beside an isolated edge it grows less than inside texture.

    Args:
        clean: ``(1, 3, H, W)`` in [0, 1].
        smooth: the share that a perfectly smooth area still gets, in (0, 1].

    Returns:
        ``(1, 1, H, W)`` in [``smooth``, 1].
    """
    if not 0 < smooth <= 1:
        raise UsageError(f"the share of smooth areas lies in (0, 1], not {smooth}")
    luma = (clean * clean.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    mean = gaussian_blur(luma, 1.5)
    deviation = (gaussian_blur(luma * luma, 1.5) - mean * mean).clamp_min(0).sqrt()
    # the lowest activity nearby: high only where a whole neighbourhood is busy, not beside one edge
    spread = -functional.max_pool2d(-deviation, 5, stride=1, padding=2)
    activity = (0.5 * spread + 0.5 * gaussian_blur(deviation, 2.0)) * 255
    return (smooth + (1 - smooth) * (activity / 12).clamp(0, 1)).detach()


def context_mask(size: tuple[int, int], boxes: Tensor, margin: float, *, feather: float = 0.15) -> Tensor:
    """1 inside the widened boxes, falling smoothly to 0 outside.

    Args:
        size: height and width in pixels.
        boxes: ``(N, 4)`` ``x1 y1 x2 y2`` in pixels.
        margin: how far the context reaches beyond each side, in face sizes.
        feather: width of the smooth border, in face sizes.

    Returns:
        ``(1, 1, H, W)`` in [0, 1], on the device of ``boxes``.
    """
    height, width = size
    ys = torch.arange(height, device=boxes.device, dtype=torch.float32).view(-1, 1) + 0.5
    xs = torch.arange(width, device=boxes.device, dtype=torch.float32).view(1, -1) + 0.5
    mask = torch.zeros(height, width, device=boxes.device)
    for x1, y1, x2, y2 in boxes.tolist():
        face = max(x2 - x1, y2 - y1, 1.0)
        reach, ramp = margin * face, max(feather * face, 1.0)
        outside_x = torch.maximum(x1 - reach - xs, xs - x2 - reach).clamp_min(0)
        outside_y = torch.maximum(y1 - reach - ys, ys - y2 - reach).clamp_min(0)
        distance = torch.sqrt(outside_x**2 + outside_y**2)
        mask = torch.maximum(mask, (1 - distance / ramp).clamp(0, 1))
    return mask.view(1, 1, height, width)


def to_grey(noise: Tensor) -> Tensor:
    """The same change in all three channels, so that grey pictures stay grey."""
    return noise.mean(1, keepdim=True).expand_as(noise)


def reduce_chroma(noise: Tensor, share: float) -> Tensor:
    """The noise with its change of brightness (BT.601) whole and only a share of its change of colour.

    Args:
        noise: ``(1, 3, H, W)``.
        share: in [0, 1]; 0 changes brightness alone.
    """
    luma = (noise * noise.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return luma + share * (noise - luma)


#: How far a decoy's noise reaches beyond its zone, in its sizes.
_DECOY_MARGIN = 0.1
#: How far a face's own share of energy reaches beyond it, in its sizes.
_FACE_MARGIN = 0.25
_Window = tuple[slice, slice]


class NoiseBudget:
    """What noise of a task may be: within its limit, grey or with less chroma, and within its energy on each face."""

    def __init__(self, task: Task) -> None:
        size = task.clean.shape[-2:]
        self.task = task
        self.faces = _windows(task.faces, size)
        self.decoys = _windows(expand_boxes(task.zones, _DECOY_MARGIN), size) if len(task.zones) else []
        #: How near each pixel is to each face, where there are several.
        self.near = (
            [context_mask((size[0], size[1]), box[None], _FACE_MARGIN) for box in task.faces]
            if len(self.faces) == len(task.faces) > 1
            else []
        )

    def project(self, noise: Tensor) -> Tensor:
        """Noise ``(1, 3, H, W)`` brought within the budget."""
        task, noise = self.task, noise.detach()
        if task.grey:
            noise = to_grey(noise)
        elif task.chroma < 1:
            reduced = reduce_chroma(noise, task.chroma)
            for rows, columns in self.decoys:  # colour is visible on skin, not in decoys
                reduced[..., rows, columns] = noise[..., rows, columns]
            noise = reduced
        noise = project(noise, task.clean, task.limit)
        if task.energy is None:
            return noise
        # each place keeps the bound by itself, so that scaling the noise of one does not weaken that of another
        shares = [_energy_scale(noise, window, task.energy) for window in self.decoys]
        scaled = noise * self._face_scale(noise, task.energy)
        for (rows, columns), share in zip(self.decoys, shares, strict=True):
            scaled[..., rows, columns] = noise[..., rows, columns] * share
        return scaled

    def _face_scale(self, noise: Tensor, energy: float) -> Tensor:
        """The factor of each pixel: around each face what its energy allows, and where faces are near to each other the
        smallest of theirs.
        """
        scales = [_energy_scale(noise, window, energy) for window in self.faces]
        if not self.near:
            return torch.stack(scales).amin()
        around = [1 - near * (1 - scale) for near, scale in zip(self.near, scales, strict=True)]
        return torch.stack(around).amin(0)


def _windows(boxes: Tensor, size: Sequence[int]) -> list[_Window]:
    """Rows and columns of each box; of the whole patch where there is none."""
    windows = []
    for x1, y1, x2, y2 in boxes.round().int().tolist():
        rows, columns = slice(max(0, y1), min(size[0], y2)), slice(max(0, x1), min(size[1], x2))
        if rows.stop > rows.start and columns.stop > columns.start:
            windows.append((rows, columns))
    return windows or [(slice(None), slice(None))]


def _energy_scale(noise: Tensor, window: _Window, energy: float) -> Tensor:
    """The factor, at most 1, after which the root mean square of the noise is at most ``energy`` in the window."""
    rows, columns = window
    spent = noise[..., rows, columns].square().mean()
    return (energy / spent.sqrt().clamp_min(1e-9)).clamp_max(1)
