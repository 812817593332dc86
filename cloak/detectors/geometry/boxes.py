"""Boxes as tensors: overlaps, and non-maximum suppression without a loop over boxes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_CHUNK = 512


def overlaps(
    first: Tensor, second: Tensor, *, relative_to: Literal["union", "smaller"] = "union", pixel: float = 0.0
) -> Tensor:
    """Overlap of each box of ``first`` ``(N, 4)`` with each of ``second`` ``(M, 4)``, as ``(N, M)``.

    ``relative_to`` divides the intersection by the union (IoU) or by the smaller area. ``pixel`` is added to
    widths and heights: 1 for detectors that count both border pixels, else 0.
    """
    left_top = torch.maximum(first[:, None, :2], second[None, :, :2])
    right_bottom = torch.minimum(first[:, None, 2:4], second[None, :, 2:4])
    sides = (right_bottom - left_top + pixel).clamp_(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    first_area = _areas(first, pixel)[:, None]
    second_area = _areas(second, pixel)[None, :]
    if relative_to == "union":
        whole = first_area + second_area - intersection
    else:
        whole = torch.minimum(first_area, second_area)
    return intersection / whole


def suppress(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    *,
    groups: Tensor | None = None,
    relative_to: Literal["union", "smaller"] = "union",
    pixel: float = 0.0,
    inclusive: bool = False,
) -> Tensor:
    """Greedy non-maximum suppression; the indices ``(K,)`` that are kept, best score first.

    A box falls when a kept box with a higher score overlaps it by more than ``threshold`` (by ``threshold``
    or more when ``inclusive``). The greedy answer is the one fixed point of "kept unless a better kept box
    covers it", reached here by iterating that rule on whole matrices, which needs as many rounds as the
    longest chain of boxes that knock each other out (a handful), not one round per box.

    Args:
        boxes: ``(N, 4)`` ``x1 y1 x2 y2``.
        scores: ``(N,)``; of equal scores the earlier box wins.
        threshold: overlap in [0, 1].
        groups: ``(N,)`` integers; boxes of different groups never suppress each other.
        relative_to, pixel: see :func:`overlaps`.
        inclusive: suppress at exactly the threshold too.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    boxes = boxes[order]
    groups = None if groups is None else groups[order]

    def covers(first: slice | Tensor, second: slice) -> Tensor:
        overlap = overlaps(boxes[first], boxes[second], relative_to=relative_to, pixel=pixel)
        covered = overlap >= threshold if inclusive else overlap > threshold
        if groups is not None:
            covered &= groups[first][:, None] == groups[second][None, :]
        return covered

    kept = torch.zeros(0, dtype=torch.long, device=boxes.device)
    for start in range(0, len(boxes), _CHUNK):
        chunk = slice(start, min(start + _CHUNK, len(boxes)))
        alive = ~covers(kept, chunk).any(dim=0)
        rivals = torch.triu(covers(chunk, chunk), diagonal=1).float()
        current = alive
        while True:
            next_alive = alive & (current.float() @ rivals == 0)
            if torch.equal(next_alive, current):
                break
            current = next_alive
        kept = torch.cat([kept, current.nonzero()[:, 0] + start])
    return order[kept]


def _areas(boxes: Tensor, pixel: float) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0] + pixel) * (boxes[:, 3] - boxes[:, 1] + pixel)
