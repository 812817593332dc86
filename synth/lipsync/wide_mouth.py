"""Landmarks of a mouth that is opened wide.

FaceMesh reads a square region around the face. When the jaw drops, the region that an earlier, shorter reading gives is
too short: lower lip and chin are then put too high, and who replaces what lies above them leaves the filmed lip or chin
visible below. So the mouth is read again in a region that reaches further down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.extraction.finder import region_of
from synth.lipsync.shape import LIP_POINTS, OPENING, RIGID, Series

#: How far below the chin the second region reaches, as a share of the face's height.
_FURTHER = 0.35
#: Opening, in eye distances, from which a mouth is read again.
_OPEN = 0.12
#: So much wider, in eye distances, the second reading must be to count at all, and to count in full. Readings of
#: a mouth that is not opened wide seldom differ by more than the first.
_DOUBTED, _BELIEVED = 0.08, 0.16
_EYES = ((33, 133), (362, 263))
_NOSE_BASE, _UPPER, _LOWER = 2, LIP_POINTS[OPENING[0]], LIP_POINTS[OPENING[1]]


def reaching_down(finder: Any, pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> Series:
    """``(468, 3)`` landmarks whose lower lip and chin reach as far down as the picture shows.

    Args:
        finder: a :class:`synth.extraction.finder.FaceFinder`. pixels: ``(H, W, 3)`` uint8.
        landmarks: ``(468, 3)`` as they were found in it, pixels.
    """
    first = np.asarray(landmarks, np.float64)
    span, down = _axes(first)
    if _opening(first) < _OPEN * span:
        return first
    height = float(np.ptp(first[:, :2] @ down))
    below = np.vstack([first, [*(first[152, :2] + _FURTHER * height * down), 0.0]])
    box = [*below[:, :2].min(0), *below[:, :2].max(0)]
    # each of the two reads twice: the longer face gives the region of the next reading
    second = finder.follow(pixels, box, region_of(first)[1])
    second = finder.follow(pixels, *region_of(second.landmarks))
    return joined(first, second.landmarks) if second.is_face else first


def joined(first: Series, second: NDArray[np.floating]) -> Series:
    """The first reading, with what is below the upper lip lowered to the second where that mouth is clearly wider."""
    span, down = _axes(first)
    other = np.asarray(second, np.float64)
    other = other + (first[_NOSE_BASE] - other[_NOSE_BASE])
    wider = (_opening(other) - _opening(first)) / span
    share = float(np.clip((wider - _DOUBTED) / (_BELIEVED - _DOUBTED), 0, 1))
    if not share:
        return first
    along = (first - first[_UPPER])[:, :2] @ down
    below = np.clip(along / max(float(along[_LOWER]), 0.05 * span), 0, 1)
    below[list(RIGID)] = 0
    moves = np.maximum((other - first)[:, :2] @ down, 0) * below * share
    result = first.copy()
    result[:, :2] += moves[:, None] * down
    return result


def _axes(landmarks: Series) -> tuple[float, Series]:
    """The distance between the eyes, pixels, and the direction ``(2,)`` from the eyes down the face."""
    left, right = (landmarks[list(corners), :2].mean(0) for corners in _EYES)
    x, y = right - left
    span = max(float(np.hypot(x, y)), 1e-6)
    return span, np.array([-y, x]) / span


def _opening(landmarks: Series) -> float:
    return float(np.linalg.norm(landmarks[_UPPER, :2] - landmarks[_LOWER, :2]))
