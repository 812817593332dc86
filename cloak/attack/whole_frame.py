"""The whole picture shrunk to a small square, for detectors whose input is such a square."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack.frames import WholeFrame
from cloak.detectors.geometry.patch import Patch
from cloak.detectors.geometry.rendering import Affine, Rendering
from cloak.pixels import MAX_DISPLAY_SIDE


class SquareFrame:
    """A picture padded to a square and shrunk, as some detectors do with their input.

    Shrinking is linear, so the noise of a patch is shrunk by two small matrices and added to the shrunk picture.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        device: where torch computes.
        top_left: the picture lies in the square's upper left corner, not in its middle.
    """

    def __init__(self, pixels: np.ndarray, device: str, *, top_left: bool = False) -> None:
        self.height, self.width = pixels.shape[:2]
        self.longest = max(self.height, self.width)
        self.display_side = min(self.longest, MAX_DISPLAY_SIDE)
        self.left, self.top = (self.longest - self.width) // 2, (self.longest - self.height) // 2
        if top_left:
            self.left = self.top = 0
        self._pixels, self._device = pixels, device
        self._squares: dict[tuple[int, bool], Tensor] = {}

    def square(self, side: int, *, area: bool = False) -> Tensor:
        """``(1, 3, side, side)`` in [0, 1], the picture at its place, black around it.

        Args:
            side: of the square, in pixels.
            area: shrunk by averaging, as pictures are before they are published; else as detectors do it.
        """
        if (side, area) not in self._squares:
            rows = self._span(self.top, self.height, side, area)
            columns = self._span(self.left, self.width, side, area)
            whole = torch.from_numpy(self._pixels.copy()).to(self._device)
            # one channel at a time: a large picture as floats is larger still
            planes = [rows @ (whole[..., channel].float() / 255) @ columns.T for channel in range(3)]
            self._squares[side, area] = torch.stack(planes)[None]
        return self._squares[side, area]

    def with_noise_of(self, patch: Patch, others: Sequence[tuple[Patch, Tensor]]) -> WholeFrame:
        """This view with the noise of the other patches in it, ready for that of ``patch``."""
        backgrounds: dict[tuple[int, bool], Tensor] = {}
        spans: dict[tuple[int, bool], tuple[Tensor, Tensor, tuple[int, int, int, int]]] = {}

        def render(noise: Tensor, side: int, area: bool = False) -> Rendering:
            key = (side, area)
            if key not in backgrounds:  # stored when it is complete: several detectors ask at once
                background = self.square(side, area=area).clone()
                for other, other_noise in others:
                    rows, columns = self._spans(other, side, area)
                    background += rows @ other_noise.detach() @ columns.T
                (rows, above, below), (columns, before, after) = map(
                    _nonzero_rows, self._spans(patch, side, area)
                )
                spans[key] = rows, columns, (before, after, above, below)
                backgrounds[key] = background
            rows, columns, around = spans[key]
            return Rendering(
                backgrounds[key] + functional.pad(rows @ noise @ columns.T, around), None, affine(side)
            )

        def affine(side: int) -> Affine:
            scale = side / self.longest / patch.scale
            left, top = (patch.left + self.left) * patch.scale, (patch.top + self.top) * patch.scale
            return Affine((scale, scale), (-left, -top))

        return WholeFrame(render, self.display_side)

    def _spans(self, patch: Patch, side: int, area: bool) -> tuple[Tensor, Tensor]:
        """What a patch's rows and columns become in the square: ``(side, height)`` and ``(side, width)``."""
        rows = self._span(self.top + patch.top, patch.bottom - patch.top, side, area)
        columns = self._span(self.left + patch.left, patch.right - patch.left, side, area)
        grow_rows = resampling_matrix(patch.height, patch.bottom - patch.top).to(self._device)
        grow_columns = resampling_matrix(patch.width, patch.right - patch.left).to(self._device)
        return rows @ grow_rows, columns @ grow_columns

    def _span(self, start: int, length: int, side: int, area: bool) -> Tensor:
        """The part of the shrinking matrix that a range of the square's pixels meets."""
        return resampling_matrix(self.longest, side, start, length, area=area).to(self._device)


def _nonzero_rows(weights: Tensor) -> tuple[Tensor, int, int]:
    """The rows of a matrix that are not all zero, and how many there are before and after them."""
    rows = weights.any(1).nonzero()[:, 0]
    if not len(rows):
        return weights[:1], 0, len(weights) - 1
    first, last = int(rows[0]), int(rows[-1]) + 1
    return weights[first:last].contiguous(), first, len(weights) - last


@lru_cache(maxsize=64)
def resampling_matrix(
    source: int,
    target: int,
    start: int = 0,
    length: int | None = None,
    *,
    area: bool = False,
    valid: tuple[int, int] | None = None,
) -> Tensor:
    """Resampling of a row of pixels, as a matrix: bilinear, its filter widened to the reduction, or averaging.

    Args:
        source, target: lengths of the row before and after, in pixels.
        start, length: the range of the source that is wanted; it may reach beyond the row, where weights are those of
            a longer row.
        area: average over areas where the row is shrunk.
        valid: first pixel, and the one after the last, that count; all others weigh nothing.

    Returns:
        ``(target, length)`` weights of the source's pixels from ``start`` on.
    """
    length = source if length is None else length
    if source == target and valid is None:
        return torch.eye(source)[:, start : start + length]
    scale = source / target
    middle = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale

    def weights(place: Tensor) -> Tensor:
        if area and scale > 1:
            end = torch.minimum(place + 0.5, middle + scale / 2)
            return functional.relu(end - torch.maximum(place - 0.5, middle - scale / 2))
        return functional.relu(1 - (place - middle).abs() / max(scale, 1.0))

    total = weights(torch.arange(source, dtype=torch.float64)[None] + 0.5).sum(1, keepdim=True)
    place = torch.arange(start, start + length, dtype=torch.float64)[None] + 0.5
    result = weights(place) / total
    if valid is not None:
        result = result * ((place > valid[0]) & (place < valid[1]))
    return result.float()
