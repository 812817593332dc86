"""A frame half-way between two, by optical flow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

_SIDE = 480
Pixels = NDArray[np.uint8]


def half_frame(first: Pixels, second: Pixels) -> Pixels:
    """The frame half-way: each of the two is moved half of the way to the other, and their mean is taken.

    The flow (DIS: Kroeger et al., ECCV 2016) is found at :data:`_SIDE` pixels at most. Where it does not lead back to
    where it came from, something was covered: there the two are mixed as they are.

    Args:
        first, second: ``(H, W, 3)`` uint8 of one size.

    Raises:
        UsageError: other shapes.
    """
    if first.shape != second.shape or first.ndim != 3 or min(first.shape[:2]) < 1:
        raise UsageError(f"found frames of {first.shape} and {second.shape}, expected two of one size")
    height, width = first.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    small = [
        cv2.cvtColor(cv2.resize(one, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for one in (first, second)
    ]
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth: Any = finder.calc(small[0], small[1], None)  # type: ignore[call-overload]
    back: Any = finder.calc(small[1], small[0], None)  # type: ignore[call-overload]
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    # seen from the middle, either flow is about half a flow away: read there
    half_forth = cv2.remap(forth, columns - forth[..., 0] / 2, rows - forth[..., 1] / 2, cv2.INTER_LINEAR)
    half_back = cv2.remap(back, columns - back[..., 0] / 2, rows - back[..., 1] / 2, cv2.INTER_LINEAR)
    sure = np.exp(-((half_forth + half_back) ** 2).sum(-1) / 4)[..., None]
    way = (half_forth - half_back) / 2 * sure
    factor = np.array([width / size[0], height / size[1]], np.float32)
    flow = cv2.resize(way.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) * factor / 2
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = [
        cv2.remap(
            one,
            columns + sign * flow[..., 0],
            rows + sign * flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for one, sign in ((first, -1), (second, 1))
    ]
    return np.asarray(cv2.addWeighted(moved[0], 0.5, moved[1], 0.5, 0), np.uint8)
