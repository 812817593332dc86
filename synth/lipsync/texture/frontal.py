"""The frontal view of a person's face, and the map between it and the picture.

One smooth surface per person models the head: the depth of the mean face over the frontal view, and a plane behind it
for neck and surroundings. A pose maps each pixel of the frontal view to a position in the picture. The inverse is found
by fixed-point iteration, which converges because the surface's slope is limited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.lipsync.shape import Series, Track, eye_distance, pose_of

#: Distance between the middles of the eyes, as a share of the frontal frame's side.
EYE_SHARE = 0.30
#: The place, in eye distances below the eyes, that is in the middle of the frontal frame.
CENTRE_Y = 0.95
SMALLEST, LARGEST = 96, 512
_COARSE = 48
#: The surface's steepest slope; the depth of what is no face, eye distances behind the eyes; smoothing.
_STEEPEST, _BEHIND, _ROUNDING = 1.2, 0.35, 0.10
_STEPS = 14
_STEP = 4
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Frontal:
    """The frontal view of one person.

    Attributes:
        side: S, pixels.
        base: ``(468, 3)`` of :class:`Track`.
        depth: ``(S, S)`` of the surface, eye distances.
    """

    side: int
    base: Series = field(repr=False)
    depth: Floats = field(repr=False)

    @classmethod
    def of(cls, track: Track, side: int | None = None) -> Frontal:
        """For a person's footage; the side is such that skin keeps its resolution.

        Raises:
            UsageError: a side outside of :data:`SMALLEST` to :data:`LARGEST`.
        """
        if side is None:
            span = float(np.median([eye_distance(pose) for pose in track.poses[track.found]]))
            side = int(np.clip(round(span / EYE_SHARE / 16) * 16, SMALLEST, LARGEST))
        if not SMALLEST <= side <= LARGEST:
            raise UsageError(f"the frontal frame's side is {side}, expected {SMALLEST} to {LARGEST}")
        return cls(side, track.base, _surface(track.base, side))

    @property
    def unit(self) -> float:
        """Pixels of the frontal frame for a distance between the eyes."""
        return EYE_SHARE * self.side

    def pixels_of(self, points: NDArray[np.floating]) -> Series:
        """Points ``(..., 2 or 3)`` of the person's frame to ``(..., 2)`` pixels of the frontal frame."""
        flat = np.asarray(points, np.float64)[..., :2] - (0.0, CENTRE_Y)
        return np.asarray(flat * self.unit + self.side / 2)

    def places(self, pose: Series) -> Floats:
        """``(S, S, 2)``: the position in the picture of each pixel's centre in the frontal view."""
        axis = (np.arange(self.side) + 0.5 - self.side / 2) / self.unit
        x, y = np.meshgrid(axis, axis + CENTRE_Y)
        spots = np.stack([x, y, self.depth], -1) @ pose[:2, :3].T + pose[:2, 3]
        return np.asarray(spots, np.float32)

    def frontal(self, pixels: Pixels, landmarks: NDArray[np.floating]) -> Pixels:
        """Render the face of a picture in frontal view.

        Args:
            pixels: ``(H, W, 3)`` uint8.
            landmarks: ``(468, 3)`` pixels.

        Returns:
            ``(S, S, 3)`` uint8; beyond the picture its edge is repeated.
        """
        return _sampled(pixels, self.places(pose_of(landmarks, self.base)))

    def box(self, landmarks: NDArray[np.floating], size: tuple[int, int]) -> Box:
        """top, bottom, left, right of the part of a picture of ``size`` (height, width) that it covers."""
        edge = self.places(pose_of(landmarks, self.base))[:: self.side - 1, :: self.side - 1].reshape(-1, 2)
        low, high = np.floor(edge.min(0)).astype(int), np.ceil(edge.max(0)).astype(int)
        top, bottom = int(np.clip(low[1], 0, size[0])), int(np.clip(high[1], 0, size[0]))
        left, right = int(np.clip(low[0], 0, size[1])), int(np.clip(high[0], 0, size[1]))
        return top, bottom, left, right

    def back(self, landmarks: NDArray[np.floating], box: Box) -> Floats:
        """``(h, w, 2)``: the position in the frontal view of each pixel of a part of the picture, in pixels (the centre
        of the first pixel is 0.5); for :func:`sampled`.
        """
        pose = pose_of(landmarks, self.base)
        top, bottom, left, right = box
        height, width = max(1, bottom - top), max(1, right - left)
        rows = np.linspace(0, height - 1, max(2, -(-height // _STEP)))
        columns = np.linspace(0, width - 1, max(2, -(-width // _STEP)))
        px, py = np.meshgrid(columns + left + 0.5, rows + top + 0.5)
        goal = np.stack([px, py], -1) - pose[:2, 3]
        inverse = np.linalg.inv(pose[:2, :2])
        z = np.full(px.shape, float(np.median(self.depth)))
        for _ in range(_STEPS):
            spots = (
                (goal - z[..., None] * pose[:2, 2]) @ inverse.T - (0.0, CENTRE_Y)
            ) * self.unit + self.side / 2
            z = 0.25 * z + 0.75 * sampled(self.depth, spots)
        return _enlarged(spots, (height, width), rows, columns)


def sampled(picture: NDArray[Any], spots: NDArray[np.floating]) -> NDArray[Any]:
    """A picture read at continuous coordinates ``(h, w, 2)``, bilinear, its edge repeated."""
    places = np.asarray(spots, np.float32) - np.float32(0.5)
    return np.asarray(
        cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _sampled(picture: Pixels, spots: Floats) -> Pixels:
    """Bicubic, only of the part that is needed."""
    low = np.maximum(np.floor(spots.reshape(-1, 2).min(0)).astype(int) - 4, 0)
    high = np.ceil(spots.reshape(-1, 2).max(0)).astype(int) + 4
    left, top = (int(min(low[0], picture.shape[1] - 1)), int(min(low[1], picture.shape[0] - 1)))
    part = picture[top : max(top + 1, high[1]), left : max(left + 1, high[0])]
    places = spots - np.float32(0.5) - np.array([left, top], np.float32)
    result = cv2.remap(
        np.ascontiguousarray(part),
        places[..., 0],
        places[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(result, np.uint8)


def _enlarged(coarse: Series, size: tuple[int, int], rows: Series, columns: Series) -> Floats:
    """A smooth map ``(h, w, 2)`` at every pixel, interpolated from some rows and columns."""
    y = np.interp(np.arange(size[0]), rows, np.arange(len(rows))).astype(np.float32)
    x = np.interp(np.arange(size[1]), columns, np.arange(len(columns))).astype(np.float32)
    mx, my = np.meshgrid(x, y)
    return np.asarray(cv2.remap(np.asarray(coarse, np.float32), mx, my, cv2.INTER_LINEAR), np.float32)


def _surface(base: Series, side: int) -> Floats:
    """Depth over the frontal view: a smoothing thin-plate spline through the face's points and a plane around them,
    smoothed, with limited slope.
    """
    axis = (np.linspace(0.5, side - 0.5, _COARSE) - side / 2) / (EYE_SHARE * side)
    x, y = np.meshgrid(axis, axis + CENTRE_Y)
    places = np.stack([x, y], -1).reshape(-1, 2)
    chin = float(base[152, 1])
    rim = np.array([[s * 1.6, v] for s in (-1, 1) for v in np.linspace(-0.7, 2.5, 8)])
    neck = np.array([[u, v] for u in np.linspace(-1.2, 1.2, 7) for v in (chin + 0.45, chin + 0.8)])
    spots = np.concatenate([base[:, :2], rim, neck])
    depths = np.concatenate([base[:, 2], np.full(len(rim) + len(neck), _BEHIND)])
    z = spline(spots, depths[:, None], places, 0.02)[:, 0].reshape(_COARSE, _COARSE)
    z = np.minimum(z, _BEHIND).astype(np.float32)
    smooth = cv2.GaussianBlur(z, (0, 0), _ROUNDING / float(axis[1] - axis[0]))
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    limited = (smooth.reshape(1, -1) + _STEEPEST * gaps).min(1).reshape(_COARSE, _COARSE).astype(np.float32)
    return np.asarray(cv2.resize(limited, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def spline(
    spots: NDArray[np.floating],
    values: NDArray[np.floating],
    places: NDArray[np.floating],
    softness: float = 0.0,
) -> Series:
    """A thin-plate spline (Bookstein, IEEE PAMI 11(6), 1989) through values at points.

    Args:
        spots: ``(K, 2)`` the points, not all on a line.
        values: ``(K, D)``.
        places: ``(P, 2)`` where it is evaluated.
        softness: smoothing; 0 interpolates the values exactly.

    Returns:
        ``(P, D)``.
    """
    return spline_basis(spots, places, softness) @ np.asarray(values, np.float64)


def spline_basis(spots: NDArray[np.floating], places: NDArray[np.floating], softness: float = 0.0) -> Series:
    """``(P, K)``: times the values at ``spots`` it gives the spline at ``places``."""
    a, p = np.asarray(spots, np.float64), np.asarray(places, np.float64)
    many = len(a)
    system = np.zeros((many + 3, many + 3))
    system[:many, :many] = _bend(a, a) + softness * np.eye(many)
    system[:many, many:] = np.hstack([np.ones((many, 1)), a])
    system[many:, :many] = system[:many, many:].T
    right = np.vstack([np.eye(many), np.zeros((3, many))])
    inner = np.linalg.lstsq(system, right, rcond=None)[0] if many < 8 else np.linalg.solve(system, right)
    return np.asarray(np.hstack([_bend(p, a), np.ones((len(p), 1)), p]) @ inner)


def _bend(a: Series, b: Series) -> Series:
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-12)))
