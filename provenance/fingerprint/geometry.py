"""Whether one picture shows part of another, judged by where their local features lie.

Each pair of like descriptors suggests a similarity by itself (place, size and angle of its two points). The
suggestion that most other pairs agree with is refined to an affine map; what counts in the end are distinct places
of the original that the map explains within one per cent of its longer side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.fingerprint.features import LocalFeatures

#: So many distinct places must agree. Different pictures reach 7 at most (`benchmarks/provenance/find.py` prints it).
MIN_PLACES = 12
#: The agreeing places must span this share of the picture or of the original: a shared logo is no copy.
MIN_SPAN = 0.1
_MAX_BITS = 64
_RATIO = 0.92
_MAX_ANGLE = 25.0
_MAX_SIZE_STEP = 0.8
_COARSE, _MIDDLE, _FINE = 0.06, 0.02, 0.01
_CELLS = 64
_MAX_SCALE = 12.0
_MAX_SHEAR = 2.5


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in its original.

    Attributes:
        places: distinct places that agree.
        fine: how many of them are of the finer half of the original's points; those of a blurred copy, or of a picture
            that has another's coarse light and shadow, are all coarse.
        outline: the part of the original that the picture shows: corners as (x, y), fractions 0..1 of the
            original's width and height, in order around it; empty where it cannot be drawn.
        coverage: the outline's share of the original's area, 0..1.
        angle: how far the picture must be turned clockwise to lie in the original, degrees -180..180.
        scale: the original's size over the picture's, both measured by their longer side.
    """

    places: int
    outline: tuple[tuple[float, float], ...]
    coverage: float
    angle: float
    scale: float
    fine: int = 0


def place(picture: LocalFeatures, original: LocalFeatures) -> Placement | None:
    """Find ``picture`` in ``original``; None where too little agrees."""
    pairs = _pairs(picture.descriptors, original.descriptors)
    if len(pairs) < MIN_PLACES:
        return None
    from_points = picture.points[pairs[:, 0]] * _extent(picture)
    to_points = original.points[pairs[:, 1]] * _extent(original)
    turns = (original.angles[pairs[:, 1]] - picture.angles[pairs[:, 0]]) % 360
    steps = np.log2(original.sizes[pairs[:, 1]] / picture.sizes[pairs[:, 0]])
    agreeing = _best_suggestion(from_points, to_points, turns, steps)
    for fit, tolerance in ((_fit_similarity, _MIDDLE), (_fit_similarity, _FINE), (_fit_affine, _FINE)):
        if _distinct(to_points[agreeing]) < MIN_PLACES:
            return None
        matrix = fit(from_points[agreeing], to_points[agreeing])
        if matrix is None or not _is_sane(matrix):
            return None
        found = matrix
        misses = np.linalg.norm(from_points @ found[:, :2].T + found[:, 2] - to_points, axis=1)
        scale, angle = _scale_and_angle(found)
        agreeing = (misses < tolerance) & _consistent(turns, steps, angle, np.log2(scale))
    places = _distinct(to_points[agreeing])
    spans = (
        _hull_share(from_points[agreeing], _extent(picture)),
        _hull_share(to_points[agreeing], _extent(original)),
    )
    if places < MIN_PLACES or max(spans) < MIN_SPAN:
        return None
    outline, coverage = _outline(found, picture, original)
    small = original.sizes[pairs[:, 1]] <= np.median(original.sizes)
    fine = _distinct(to_points[agreeing & small])
    return Placement(places, outline, coverage, float(angle), float(scale), fine)


def _pairs(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.int64]:
    """``(M, 2)``: like descriptors, each of the second at most once, clearly better than the runner-up."""
    import cv2

    none = np.zeros((0, 2), dtype=np.int64)
    if len(first) < 2 or len(second) < 2:
        return none
    found = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(first, second, k=2)
    rows = [
        (best.distance, best.queryIdx, best.trainIdx)
        for best, runner_up in found
        if best.distance <= _MAX_BITS and best.distance <= _RATIO * runner_up.distance
    ]
    if not rows:
        return none
    table = np.array(sorted(rows), dtype=np.int64)
    _, earliest = np.unique(table[:, 2], return_index=True)
    return np.asarray(table[np.sort(earliest), 1:], dtype=np.int64)


def _best_suggestion(
    from_points: NDArray[np.float32],
    to_points: NDArray[np.float32],
    turns: NDArray[np.float32],
    steps: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """The pairs that agree with the most agreed-with pair's own similarity."""
    factor = np.exp2(steps)
    radians = np.deg2rad(turns)
    rotation = factor * np.cos(radians) + 1j * factor * np.sin(radians)
    start = from_points[:, 0] + 1j * from_points[:, 1]
    end = to_points[:, 0] + 1j * to_points[:, 1]
    # row i: where pair i's similarity takes every point
    predicted = end[:, None] + rotation[:, None] * (start[None, :] - start[:, None])
    predicted -= end[None, :]
    agree = predicted.real**2 + predicted.imag**2 < _COARSE**2
    agree &= _consistent(turns[None, :], steps[None, :], turns[:, None], steps[:, None])
    return np.asarray(agree[int(np.argmax(agree.sum(axis=1)))], dtype=np.bool_)


def _consistent(
    turns: NDArray[np.float32], steps: NDArray[np.float32], turn: object, step: object
) -> NDArray[np.bool_]:
    """Which turns, 0..360 degrees, and steps are near to others."""
    off = np.abs(turns - np.asarray(turn) % 360)
    near = (off < _MAX_ANGLE) | (off > 360 - _MAX_ANGLE)
    return np.asarray(near & (np.abs(steps - np.asarray(step)) < _MAX_SIZE_STEP), dtype=np.bool_)


def _fit_similarity(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Least squares, ``(2, 3)`` (Umeyama 1991 without reflection, as one complex quotient)."""
    a, b = start[:, 0] + 1j * start[:, 1], end[:, 0] + 1j * end[:, 1]
    spread = np.vdot(a - a.mean(), a - a.mean()).real
    if spread <= 1e-9:
        return None
    turn = np.vdot(a - a.mean(), b - b.mean()) / spread
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _fit_affine(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Least squares, ``(2, 3)``, pulled towards the similarity where points are few or in a line."""
    similar = _fit_similarity(start, end)
    if similar is None or len(start) < 2 * MIN_PLACES:
        return similar
    known = np.column_stack([start, np.ones(len(start))])
    pull = np.diag([0.05, 0.05, 0.0])
    rest = end - known @ similar.T
    correction = np.linalg.solve(
        known.T @ known + len(start) * pull * 0.02 + 1e-9 * np.eye(3), known.T @ rest
    )
    return np.asarray(similar + correction.T, dtype=np.float64)


def _is_sane(matrix: NDArray[np.float64]) -> bool:
    """No mirror image, no vanishing or exploding size, no needle."""
    if not np.isfinite(matrix).all() or np.linalg.det(matrix[:, :2]) <= 0:
        return False
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(large < _MAX_SCALE and small > 1 / _MAX_SCALE and large < _MAX_SHEAR * small)


def _scale_and_angle(matrix: NDArray[np.float64]) -> tuple[float, float]:
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    angle = float(np.rad2deg(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
    return scale, angle


def _distinct(points: NDArray[np.float32]) -> int:
    """Places counted once each, for one corner is found at several scales."""
    cells = np.floor(points * _CELLS).astype(np.int64)
    return len(set((cells[:, 0] * 2**20 + cells[:, 1]).tolist()))


def _hull_share(points: NDArray[np.float32], extent: NDArray[np.float32]) -> float:
    import cv2

    hull = cv2.convexHull(np.ascontiguousarray(points, dtype=np.float32))
    return float(cv2.contourArea(hull) / float(extent[0] * extent[1]))


def _outline(
    matrix: NDArray[np.float64], picture: LocalFeatures, original: LocalFeatures
) -> tuple[tuple[tuple[float, float], ...], float]:
    """The picture's frame in the original, cut off at the original's edges; and its share of the area."""
    import cv2

    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    frame = ((corners * _extent(picture)) @ matrix[:, :2].T + matrix[:, 2]) / _extent(original)
    area, shared = cv2.intersectConvexConvex(frame.astype(np.float32), corners)
    if shared is None or area <= 0:
        return (), 0.0
    points = np.clip(np.asarray(shared).reshape(-1, 2), 0, 1)
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in points), float(min(area, 1.0))


def _extent(features: LocalFeatures) -> NDArray[np.float32]:
    size = np.array([features.width, features.height], dtype=np.float32)
    return np.asarray(size / size.max(), dtype=np.float32)
