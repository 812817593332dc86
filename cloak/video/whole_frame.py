"""Whole frames of a window, small, for detectors that judge a frame as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack import transforms
from cloak.attack.task import WholeFrame
from cloak.attack.transforms import Transform
from cloak.evaluate.judge import to_tensor
from cloak.video.flow import moved_tensor

if TYPE_CHECKING:
    from cloak.video.window import FrameSample, Window


class WindowSquares:
    """Whole frames with the window's noise in them; each look is at the next one.

    Args:
        window: whose samples are shown.
        limit: the largest change of a pixel, in [0, 1].
        coders: what the patch goes through before it is shrunk, in turns.
        top_left: the frame lies in the square's upper left corner, not in its middle.
    """

    def __init__(
        self, window: Window, limit: float, coders: Sequence[Transform], *, top_left: bool = False
    ) -> None:
        self.window, self.limit, self.top_left, self._coders = window, limit, top_left, coders
        self._turns = itertools.cycle(
            (sample, coders[(turn + place) % len(coders)])
            for turn in range(len(coders))
            for place, sample in enumerate(window.samples)
        )
        width, height = window.size
        self.longest = max(width, height)
        self.pad = (0, 0) if top_left else ((self.longest - width) // 2, (self.longest - height) // 2)
        self._spans: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def whole_frame(self) -> WholeFrame:
        """The first of them; those after it in turns."""
        return self._of(self.window.samples[0], self._coders[0])

    def _next(self) -> WholeFrame:
        return self._of(*next(self._turns))

    def _of(self, sample: FrameSample, coder: Transform) -> WholeFrame:
        return WholeFrame(
            partial(self._compose, sample, coder), partial(self._boxes, sample), next_frame=self._next
        )

    def _compose(self, sample: FrameSample, coder: Transform, noise: Tensor, side: int) -> Tensor:
        if (sample.frame, side) not in self._spans:
            place, (left, top) = self.window.place, sample.corner
            width, height = self.window.size
            rows = span(self.longest, side, top + self.pad[1], place.height, self.pad[1], height)
            columns = span(self.longest, side, left + self.pad[0], place.width, self.pad[0], width)
            grow_rows, grow_columns = (
                grow(work, full) for work, full in zip(place.work, (place.height, place.width), strict=True)
            )
            self._spans[sample.frame, side] = (
                (rows @ grow_rows).to(noise),
                (columns @ grow_columns).to(noise),
            )
        rows, columns = self._spans[sample.frame, side]
        clean = to_tensor(sample.clean, self.window.device)
        shown = coder(transforms.quantise(clean + moved_tensor(noise, sample.grid, self.limit)))
        squares = sample.top_left_squares if self.top_left else sample.squares
        return squares[side] + rows @ (shown - clean) @ columns.T

    def _boxes(self, sample: FrameSample, inside: Tensor, side: int) -> Tensor:
        left, top = sample.corner
        scale = self.window.place.work[1] / self.window.place.width
        corner = inside.new_tensor([left + self.pad[0], top + self.pad[1]] * 2)
        placed: Tensor = (inside / scale + corner) * (side / self.longest)
        return placed


def span(longest: int, side: int, start: int, length: int, pad: int, real: int) -> Tensor:
    """``(side, length)``: what pixels from ``start`` on add to a square of ``longest`` pixels shrunk to ``side``.

    Bilinear, the filter widened to the reduction; pixels outside the ``real`` ones after ``pad`` add nothing.
    """
    scale = longest / side
    reach = max(scale, 1.0)
    middle = (torch.arange(side, dtype=torch.float64)[:, None] + 0.5) * scale
    every = torch.arange(longest, dtype=torch.float64)[None] + 0.5
    total = functional.relu(1 - (every - middle).abs() / reach).sum(1, keepdim=True)
    place = torch.arange(start, start + length, dtype=torch.float64)[None] + 0.5
    weights = functional.relu(1 - (place - middle).abs() / reach) / total
    within = (place > pad) & (place < pad + real)
    return (weights * within).float()


def grow(work: int, full: int) -> Tensor:
    """``(full, work)``: how noise of the working size is spread over the patch."""
    if work == full:
        return torch.eye(full)
    return functional.interpolate(torch.eye(work)[None], size=full, mode="linear", align_corners=False)[
        0
    ].T.contiguous()
