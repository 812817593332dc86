"""The whole picture, small, for detectors that judge it as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloak.regions import Patch
from cloak.task import Wide


class WideView:
    """The picture as detectors see it that pad it to a square and shrink that to their own small input.

    Shrinking is linear, so the noise of a patch is shrunk by two small matrices and added to the shrunk picture.
    """

    def __init__(self, pixels: np.ndarray, device: str) -> None:
        self.height, self.width = pixels.shape[:2]
        self.longest = max(self.height, self.width)
        self.left, self.top = (self.longest - self.width) // 2, (self.longest - self.height) // 2
        self._pixels, self._device = pixels, device
        self._squares: dict[int, Tensor] = {}

    def square(self, side: int) -> Tensor:
        """``(1, 3, side, side)`` in [0, 1], the picture in its middle."""
        if side not in self._squares:
            rows, columns = self._span(self.top, self.height, side), self._span(self.left, self.width, side)
            whole = torch.from_numpy(self._pixels.copy()).to(self._device)
            # one channel at a time: a large picture as floats is larger still
            planes = [rows @ (whole[..., channel].float() / 255) @ columns.T for channel in range(3)]
            self._squares[side] = torch.stack(planes)[None]
        return self._squares[side]

    def around(self, patch: Patch, others: Sequence[tuple[Patch, Tensor]]) -> Wide:
        """This view with the noise of the other patches in it, ready for that of ``patch``."""
        grounds: dict[int, Tensor] = {}
        spans: dict[int, tuple[Tensor, Tensor]] = {}

        def compose(noise: Tensor, side: int) -> Tensor:
            if side not in grounds:
                grounds[side] = self.square(side).clone()
                for other, theirs in others:
                    rows, columns = self._spans(other, side)
                    grounds[side] += rows @ theirs.detach() @ columns.T
                spans[side] = self._spans(patch, side)
            rows, columns = spans[side]
            return grounds[side] + rows @ noise @ columns.T

        def boxes(inside: Tensor, side: int) -> Tensor:
            corner = inside.new_tensor([patch.left + self.left, patch.top + self.top] * 2)
            placed: Tensor = (inside / patch.scale + corner) * (side / self.longest)
            return placed

        return Wide(compose, boxes, self.longest)

    def _spans(self, patch: Patch, side: int) -> tuple[Tensor, Tensor]:
        """What a patch's rows and columns become in the square: ``(side, height)`` and ``(side, width)``."""
        rows = self._span(self.top + patch.top, patch.bottom - patch.top, side)
        columns = self._span(self.left + patch.left, patch.right - patch.left, side)
        grow_rows = _resampling(patch.height, patch.bottom - patch.top).to(self._device)
        grow_columns = _resampling(patch.width, patch.right - patch.left).to(self._device)
        return rows @ grow_rows, columns @ grow_columns

    def _span(self, start: int, length: int, side: int) -> Tensor:
        """The part of the shrinking matrix that a range of the square's pixels meets."""
        return _resampling(self.longest, side, start, length).to(self._device)


@lru_cache(maxsize=64)
def _resampling(source: int, target: int, start: int = 0, length: int | None = None) -> Tensor:
    """Bilinear resampling, its filter widened to the reduction, as a matrix.

    Returns:
        ``(target, length)`` weights of the source's pixels from ``start`` on.
    """
    length = source if length is None else length
    if source == target:
        return torch.eye(source)[:, start : start + length]
    scale = source / target
    reach = max(scale, 1.0)
    middle = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale
    place = torch.arange(source, dtype=torch.float64)[None] + 0.5
    weights = functional.relu(1 - (place - middle).abs() / reach)
    return (weights / weights.sum(1, keepdim=True))[:, start : start + length].float()
