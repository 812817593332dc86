"""Bars of one colour beside or above a picture: letterboxes, pillarboxes, plain borders."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rows and columns of a bar differ by no more levels than this; compression leaves some.
_MAX_RANGE = 16
#: Thinner bars, as a share of the side, change nothing worth mentioning; less than this must not be left.
_THIN, _LEAST = 0.02, 0.2
_EVEN = 0.8


class Bars(NamedTuple):
    """How thick the bars at the four sides are, in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture without them."""
        height, width = grey.shape
        return np.ascontiguousarray(grey[self.top : height - self.bottom, self.left : width - self.right])

    def thinner(self, other: Bars) -> Bars:
        """What is a bar in both."""
        return Bars(*(min(pair) for pair in zip(self, other, strict=True)))

    def matter(self, grey: NDArray[np.uint8]) -> bool:
        """Whether they are thick enough to be worth cutting, and leave a picture."""
        height, width = grey.shape
        rows, columns = height - self.top - self.bottom, width - self.left - self.right
        thick = rows < (1 - _THIN) * height or columns < (1 - _THIN) * width
        return bool(thick and rows >= _LEAST * height and columns >= _LEAST * width)


def find_bars(grey: NDArray[np.uint8]) -> Bars:
    """The bars around a ``(h, w)`` uint8 grey picture; all of a picture of one or two plain bands counts as bars.

    Nearly equal ones count as equal, as thin as the thinner: the rest is a dark edge of the picture.
    """
    top, bottom = _ends(grey.min(axis=1), grey.max(axis=1))
    if top + bottom == len(grey):
        return Bars(top, bottom, 0, 0)
    inside = grey[top : len(grey) - bottom]
    left, right = _ends(inside.min(axis=0), inside.max(axis=0))
    return Bars(top, bottom, left, right)


def _ends(lowest: NDArray[np.uint8], highest: NDArray[np.uint8]) -> tuple[int, int]:
    """How many lines from the start, and from the end, are of the colour of the outermost one."""
    counts = []
    for low, high in ((lowest, highest), (lowest[::-1], highest[::-1])):
        # the range of all lines up to each one
        spread = np.maximum.accumulate(high.astype(np.int16)) - np.minimum.accumulate(low.astype(np.int16))
        beyond = np.flatnonzero(spread > _MAX_RANGE)
        counts.append(int(beyond[0]) if len(beyond) else len(low))
    first, last = counts[0], min(counts[1], len(lowest) - counts[0])
    if first < len(lowest) and min(first, last) >= _EVEN * max(first, last):
        first = last = min(first, last)
    return first, last
