"""Many crops, each averaged down to one small size, at once and differentiably."""

from __future__ import annotations

import torch
from torch import Tensor


def summed(pictures: Tensor) -> Tensor:
    """Summed-area table of ``(B, C, H, W)`` as float64 ``(B, H + 1, W + 1, C)``.

    Float64, because differences of sums over a whole picture must stay exact to far below one grey level.
    """
    table = pictures.permute(0, 2, 3, 1).double().cumsum(dim=1).cumsum(dim=2)
    return torch.nn.functional.pad(table, (0, 0, 1, 0, 1, 0))


class Areas:
    """Averages of parts of ``(B, C, H, W)`` pictures.

    A summed-area table is made of as much of the pictures as the parts cover: a way back through sums over a whole
    picture costs more than everything else that is done with a few crops around a face.

    Args:
        pictures: see above.
        at_once: one table of everything, for many parts all over.
    """

    def __init__(self, pictures: Tensor, *, at_once: bool = False) -> None:
        self.pictures, self._table = pictures, summed(pictures) if at_once else None

    def crops(self, index: Tensor, corners: Tensor, size: int) -> Tensor:
        """See :func:`averaged_crops`."""
        if self._table is not None or not len(corners):
            table = self._table if self._table is not None else summed(self.pictures[..., :1, :1])
            return averaged_crops(table, index, corners, size)
        left, top = corners[:, :2].amin(0).tolist()
        right, bottom = corners[:, 2:].amax(0).tolist()
        table = summed(self.pictures[..., top:bottom, left:right])
        return averaged_crops(table, index, corners - corners.new_tensor([left, top] * 2), size)


def averaged_crops(table: Tensor, index: Tensor, corners: Tensor, size: int) -> Tensor:
    """Crops averaged to ``size`` x ``size`` cells, as ``interpolate(crop, size, mode="area")`` does each.

    Cell i of n covers pixels ``floor(i * length / n)`` to ``ceil((i + 1) * length / n)``.

    Args:
        table: from :func:`summed`, ``(B, H + 1, W + 1, C)``.
        index: ``(N,)`` int64, the picture of each crop.
        corners: ``(N, 4)`` int64 ``x1 y1 x2 y2``, inside the picture, ``x2`` and ``y2`` exclusive, not empty.
        size: cells per side.

    Returns:
        ``(N, C, size, size)`` float64.
    """
    _, rows, columns, channels = table.shape
    flat = table.reshape(-1, channels)
    left, right = _cells(corners[:, 0], corners[:, 2], size)
    top, bottom = _cells(corners[:, 1], corners[:, 3], size)
    first_row = (index * rows)[:, None]

    rows_of_corners = torch.stack([bottom, top, bottom, top]) + first_row
    columns_of_corners = torch.stack([right, right, left, left])
    where = (rows_of_corners * columns)[..., None] + columns_of_corners[:, :, None, :]
    # one look-up for all four corners, so that the backward pass fills one table
    sums = flat.index_select(0, where.reshape(-1)).reshape(*where.shape, channels)
    total = sums[0] - sums[1] - sums[2] + sums[3]
    area = (bottom - top)[:, :, None] * (right - left)[:, None, :]
    return (total / area[..., None]).permute(0, 3, 1, 2)


def _cells(start: Tensor, stop: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First and last-but-one-past pixel of each cell, ``(N, size)`` each."""
    length = (stop - start)[:, None]
    cell = torch.arange(size, device=start.device)
    first = start[:, None] + torch.div(cell * length, size, rounding_mode="floor")
    last = start[:, None] + torch.div((cell + 1) * length + size - 1, size, rounding_mode="floor")
    return first, last
