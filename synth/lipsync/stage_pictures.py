"""Pictures of what each stage found, for people (``--keep``): drawings, no likeness."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.lipsync.film.retime import Retimed
from synth.lipsync.shape import LIP_POINTS

Pixels = NDArray[np.uint8]
_WIDTH = 1200
_OUTER, _INNER = tuple(range(12)), (0, 12, 13, 14, 6, 15, 16, 17)
_INK, _RED, _BLUE, _GREY = (20, 20, 20), (200, 40, 40), (40, 90, 200), (205, 205, 205)


def sound_view(features: NDArray[np.floating], quiet: NDArray[np.bool_]) -> Pixels:
    """``(H, W, 3)``: the 28 features as rows, time to the right; pauses are marked under them in red."""
    values = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    grey = np.clip(128 + 50 * values.T[::-1], 0, 255).astype(np.uint8)
    picture = cv2.applyColorMap(np.ascontiguousarray(grey), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    strip = np.full((2, len(quiet), 3), 255, np.uint8)
    strip[:, quiet] = _RED
    whole = np.concatenate([picture, strip[:, : picture.shape[1]]])
    return np.asarray(cv2.resize(whole, (_WIDTH, 10 * len(whole)), interpolation=cv2.INTER_NEAREST), np.uint8)


def timing_view(timing: Retimed, value: NDArray[np.floating], quiet: NDArray[np.bool_]) -> Pixels:
    """``(H, W, 3)``: made frames to the right, target frames upwards; the target's movement is the blue curve at the
    left, pauses of the sound are grey, half-frames red.
    """
    height, left, many = 600, 120, max(1, len(timing.frames))
    canvas = np.full((height, _WIDTH, 3), 255, np.uint8)
    x = left + (np.arange(many) * (_WIDTH - left - 1) / many).astype(int)
    for at in np.flatnonzero(quiet[:many]).tolist():
        canvas[:, x[at] : x[at] + max(1, (_WIDTH - left) // many)] = _GREY
    rows = len(value)
    y = height - 1 - (np.arange(rows) * (height - 1) / rows).astype(int)
    reach = (np.clip(value, 0, 3) / 3 * (left - 10)).astype(int)
    cv2.polylines(canvas, [np.stack([reach, y], 1).reshape(-1, 1, 2)], False, _BLUE, 1, cv2.LINE_AA)
    for at, place in enumerate(timing.frames):
        colour = _RED if place % 1 else _INK
        spot = (int(x[at]), int(height - 1 - place * (height - 1) / rows))
        cv2.circle(canvas, spot, 2, colour, -1, cv2.LINE_AA)
    return canvas


def mouth_view(shape: NDArray[np.floating], about: NDArray[np.floating], side: int = 256) -> Pixels:
    """``(side, side, 3)``: the two borders of the lips, seen from the front.

    Args:
        shape: ``(36,)``. about: ``(36,)`` the mean mouth, which is in the middle.
    """
    middle = np.asarray(about).reshape(len(LIP_POINTS), 2).mean(0)
    points = (np.asarray(shape).reshape(len(LIP_POINTS), 2) - middle) * side * 0.6 + side / 2
    canvas = np.full((side, side, 3), 245, np.uint8)
    for ring, colour in ((_OUTER, _RED), (_INNER, _INK)):
        outline = np.round(points[list(ring)] * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [outline], True, colour, 2, cv2.LINE_AA, shift=4)
    return canvas
