"""Lay a made face into a frame, so that no seam is seen."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

METHODS = ("alpha", "laplacian", "poisson")
_LEVELS = 4


def blended(
    method: str, frame: NDArray[np.uint8], made: NDArray[np.uint8], mask: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """``frame`` with ``made`` where ``mask`` is 1; outside of the mask's box not one byte changes.

    Args:
        method: "alpha" (weighted mean), "laplacian" (each band of detail with its own soft border: Burt and Adelson, "A
            multiresolution spline", 1983), or "poisson" (the made face's gradients, the frame's colours at the border:
            Perez, Gangnet and Blake, "Poisson image editing", 2003).
        frame, made: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` in [0, 1].

    Raises:
        UsageError: no such method.
    """
    if method not in METHODS:
        raise UsageError(f"no blending is called {method[:40]!r}", hint="one of " + ", ".join(METHODS))
    box = _box(mask, 2 ** (_LEVELS + 1) if method == "laplacian" else 4)
    if box is None:
        return frame.copy()
    top, bottom, left, right = box
    part = frame[top:bottom, left:right]
    face, where = made[top:bottom, left:right], mask[top:bottom, left:right]
    if method == "laplacian":
        mixed = _pyramids(part.astype(np.float32), face.astype(np.float32), where)
    elif method == "poisson":
        mixed = _poisson(part, face, where)
    else:
        mixed = part.astype(np.float32) + (face.astype(np.float32) - part) * where[..., None]
    result = frame.copy()
    touched = _reach(where, method)
    clean = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    result[top:bottom, left:right] = np.where(touched[..., None], clean, part)
    return result


def _box(mask: NDArray[np.float32], margin: int) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.max(1) > 1e-3), np.flatnonzero(mask.max(0) > 1e-3)
    if not len(rows):
        return None
    height, width = mask.shape
    top, bottom = max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)
    left, right = max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)
    return top, bottom, left, right


def _reach(mask: NDArray[np.float32], method: str) -> NDArray[np.bool_]:
    if method != "laplacian":
        return mask > 1e-3
    side = 2**_LEVELS + 1
    return np.asarray(cv2.dilate((mask > 1e-3).astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _pyramids(a: Any, b: Any, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    levels = min(_LEVELS, max(0, int(np.log2(max(1, min(a.shape[:2])))) - 2))
    result: list[Any] = []
    weights: Any = mask
    for _ in range(levels):
        low_a, low_b = cv2.pyrDown(a), cv2.pyrDown(b)
        size = (a.shape[1], a.shape[0])
        fine_a, fine_b = a - cv2.pyrUp(low_a, dstsize=size), b - cv2.pyrUp(low_b, dstsize=size)
        result.append(fine_a + (fine_b - fine_a) * weights[..., None])
        a, b, weights = low_a, low_b, cv2.pyrDown(weights)
    whole = a + (b - a) * weights[..., None]
    for fine in reversed(result):
        whole = cv2.pyrUp(whole, dstsize=(fine.shape[1], fine.shape[0])) + fine
    return np.asarray(whole, np.float32)


def _poisson(
    part: NDArray[np.uint8], face: NDArray[np.uint8], mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    inside = (mask > 0.02).astype(np.uint8) * 255
    inside[[0, -1]] = 0
    inside[:, [0, -1]] = 0
    rows, columns = np.flatnonzero(inside.max(1)), np.flatnonzero(inside.max(0))
    soft = mask[..., None]
    if len(rows) < 3 or len(columns) < 3:
        return np.asarray(part + (face.astype(np.float32) - part) * soft, np.float32)
    # OpenCV lays the mask's box around this point, with its own rounding: laid over itself, nothing may move
    centre = (int(columns[0]) + len(columns) // 2, int(rows[0]) + len(rows) // 2)
    cloned = cv2.seamlessClone(np.ascontiguousarray(face), part.copy(), inside, centre, cv2.NORMAL_CLONE)
    return np.asarray(part + (cloned.astype(np.float32) - part) * soft, np.float32)
