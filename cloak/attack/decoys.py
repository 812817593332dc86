"""Where decoy faces go: plausible sizes, in background and clothing, away from faces."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

_CANDIDATES = 400
#: Smallest and largest in sizes of the faces, and how far from faces in their sizes; where there is no room, the next,
#: smaller and nearer. Detectors that shrink the whole picture see large ones only; films, in which few steps are made,
#: have small ones.
SMALL = ((0.6, 1.1, 0.35), (0.4, 0.6, 0.15))
LARGE = ((1.2, 1.7, 0.35), (0.8, 1.2, 0.35), (0.6, 0.8, 0.2), (0.4, 0.6, 0.15))
_MIN_SIDE = 24.0
_Box = tuple[float, float, float, float]


def place_decoys(
    pixels: np.ndarray,
    faces: Tensor,
    count: int,
    seed: int,
    *,
    sizes: Sequence[tuple[float, float, float]] = LARGE,
) -> Tensor:
    """Up to ``count`` boxes for decoys, ``(N, 4)`` in pixels.

    Sizes are drawn around the sizes of the real faces, within what the free space allows. Places with texture
    are preferred: noise is least visible there, and detectors tell texture from faces less surely.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        faces: ``(N, 4)``, to keep away from.
        count: how many.
        seed: of the random choice.
        sizes: :data:`LARGE` or :data:`SMALL`.
    """
    if count == 0 or len(faces) == 0:
        return torch.zeros(0, 4)
    height, width = pixels.shape[:2]
    rng = random.Random(seed)
    texture = _texture(pixels)
    typical_side = float((faces[:, 2:] - faces[:, :2]).mean(1).median())
    placed: list[_Box] = []
    for smallest, largest, clearance in sizes:
        if len(placed) == count:
            break
        occupied = [_expanded(box, clearance) for box in faces.tolist()] + [
            _expanded(box, 0.15) for box in placed
        ]
        ranked = []
        for _ in range(_CANDIDATES):
            side = min(
                max(typical_side * rng.uniform(smallest, largest), _MIN_SIDE), 0.4 * min(height, width)
            )
            wide, tall = side * 0.85, side * 1.1
            if wide >= width - 2 or tall >= height - 2:
                continue
            x, y = rng.uniform(1, width - wide - 1), rng.uniform(1, height - tall - 1)
            box = (x, y, x + wide, y + tall)
            ranked.append((float(texture[round(y + tall / 2), round(x + wide / 2)]) + rng.random() * 2, box))
        for _, box in sorted(ranked, reverse=True):
            if len(placed) == count:
                break
            if not any(_intersect(box, other) for other in occupied):
                placed.append(box)
                occupied.append(_expanded(box, 0.15))
    return torch.tensor(placed, dtype=torch.float32).reshape(-1, 4)


def _texture(pixels: np.ndarray) -> np.ndarray:
    """Local standard deviation of luma, smoothed over about a face."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = max(3, min(pixels.shape[:2]) // 12)
    mean = cv2.blur(luma, (side, side))
    return np.sqrt(np.maximum(cv2.blur(luma * luma, (side, side)) - mean * mean, 0))


def _expanded(box: list[float] | _Box, margin: float) -> _Box:
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * margin, (y2 - y1) * margin
    return x1 - dx, y1 - dy, x2 + dx, y2 + dy


def _intersect(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
