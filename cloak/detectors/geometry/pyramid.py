"""The sizes at which dlib's detectors look at a picture: each level five sixths of the one before.

dlib shrinks level after level, bilinearly and without widening the filter. For attacks only the levels are made on
which a face of interest is about as large as the detector's window; the first of them is shrunk from the picture in
one go, its filter widened to the reduction, which looks much the same and is much cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import interpolate

STEP = 5 / 6
_MIN_RATIO, _MAX_RATIO = 0.72, 1.4


def levels(
    values: Tensor, window: float, first: float, faces: Tensor | None = None, min_side: int = 64
) -> Iterator[tuple[Tensor, int]]:
    """Levels of dlib's pyramid.

    Args:
        values: ``(1, C, H, W)``.
        window: side in pixels of what the detector takes for a face.
        first: scale of the largest level: 2 where the picture is enlarged first, 1 where it is not.
        faces: ``(N, 4)`` of interest, in pixels; None makes every level.
        min_side: no level's shorter side is smaller.

    Yields:
        A level, and how many steps it is below the largest.
    """
    height, width = values.shape[-2:]
    count = max(0, int(math.log(min_side / (first * min(height, width))) / math.log(STEP))) + 1
    begin, end = 0, count
    if faces is not None:
        if not len(faces):
            return
        sides = (faces[:, 2:] - faces[:, :2]).clamp_min(1.0).mean(1)
        largest, smallest = (window * share / first for share in (_MAX_RATIO, _MIN_RATIO))
        begin = max(0, math.floor(math.log(largest / float(sides.min())) / math.log(STEP)))
        end = min(count, math.ceil(math.log(smallest / float(sides.max())) / math.log(STEP)) + 1)
    rows, columns = round(height * first), round(width * first)
    for _ in range(begin):
        rows, columns = int(rows * STEP), int(columns * STEP)
    level = values
    for number in range(begin, end):
        if min(rows, columns) < min_side:
            return
        if number == begin:
            if (rows, columns) != (height, width):
                shrinks = rows < height
                level = interpolate(
                    values, (rows, columns), mode="bilinear", antialias=shrinks, align_corners=not shrinks
                )
        else:
            level = interpolate(level, (rows, columns), mode="bilinear", align_corners=True)
        yield level, number
        rows, columns = int(rows * STEP), int(columns * STEP)
