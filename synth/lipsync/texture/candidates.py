"""Candidate frames of the person in frontal view, and warping them onto target lips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError
from synth.lipsync.shape import JAW, LIP_POINTS, Series, Track, frontalised
from synth.lipsync.texture.frontal import Frontal, Pixels, sampled, spline_basis

#: The part of the jaw line that speech moves, and the border of the lower face above it.
MOVING_JAW = JAW[2:-2]
UPPER_BORDER = (280, 327, 2, 98, 50)
_STILL = (2, 98, 327, 50, 280, 234, 454, 33, 263)
_MOST_BYTES = 400_000_000
_OUTLIER, _MOST_TURN = 6.0, 0.62
_EVERY = 6


@dataclass
class Candidates:
    """Frames of the person in frontal view.

    Attributes:
        frontal: the frontal view. rows: first and last row that are kept.
        indices: ``(C,)`` frames of the footage. shapes: ``(C, 36)``.
        points: ``(C, K, 2)`` lips and moving jaw in pixels of the frontal frame.
        textures: ``(C, rows, S, 3)`` uint8.
    """

    frontal: Frontal
    rows: tuple[int, int]
    indices: NDArray[np.int64]
    shapes: Series
    points: Series
    textures: Pixels = field(repr=False)

    @classmethod
    def collect(
        cls,
        track: Track,
        frames: Iterable[tuple[int, Pixels]],
        frontal: Frontal,
        keep: Callable[[int], bool] | None = None,
    ) -> Candidates:
        """Render frames in frontal view; leave out those with outlying landmarks or turned far.

        Args:
            track: of the footage.
            frames: ``(index, pixels)`` of all or some of its frames.
            frontal: :meth:`Frontal.of` the track.
            keep: which indices may be used; default all.

        Raises:
            NoFaceError: none is left.
        """
        face = frontalised(track)
        learned = np.array([keep is None or keep(index) for index in range(len(face))])
        good = usable(track, face, learned)
        top = max(0, int(frontal.pixels_of(np.array([0.0, 0.30]))[1]))
        rows = (top, frontal.side)
        most = max(16, _MOST_BYTES // ((rows[1] - top) * frontal.side * 3))
        allowed = np.flatnonzero(good)
        if len(allowed) > most:
            allowed = allowed[np.linspace(0, len(allowed) - 1, most).round().astype(int)]
        wanted, indices, textures = set(allowed.tolist()), [], []
        for index, pixels in frames:
            if index in wanted:
                indices.append(index)
                textures.append(frontal.frontal(pixels, track.landmarks[index])[top:])
        if not indices:
            raise NoFaceError(
                "no frame shows the face well enough to copy the mouth from",
                hint="name footage in which the person looks towards the camera",
            )
        chosen = face[indices]
        points = frontal.pixels_of(chosen[:, list(LIP_POINTS + MOVING_JAW)])
        shapes = chosen[:, list(LIP_POINTS), :2].reshape(len(indices), -1)
        return cls(frontal, rows, np.array(indices), shapes, points, np.stack(textures))


def usable(track: Track, face: Series, learned: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """``(T,)`` frames to copy from: with a face, not turned far, and without a jump of the lips.

    Args:
        face: ``(T, 468, 3)`` of :func:`frontalised`.
        learned: ``(T,)`` frames that may be used and that define the usual range; default all.
    """
    found = np.flatnonzero(track.found if learned is None else track.found & learned)
    good = np.zeros(len(face), bool)
    lips = face[found][:, list(LIP_POINTS), :2]
    if not len(found):
        return good
    last = len(found) - 1
    places = np.abs(np.arange(last + 1) + np.arange(-2, 3)[:, None])
    around = lips[(last - np.abs(last - places)).clip(0)]
    gap = np.linalg.norm(lips - np.median(around, 0), axis=-1).max(-1)
    turns = track.poses[found][:, :, :3]
    away = np.hypot(turns[:, 0, 2], turns[:, 1, 2]) / np.cbrt(np.abs(np.linalg.det(turns)))
    limit = np.median(gap) + _OUTLIER * 1.4826 * np.median(np.abs(gap - np.median(gap))) + 1e-9
    good[found] = (gap <= limit) & (away < _MOST_TURN)
    return good


def warped_onto(candidates: Candidates, chosen: NDArray[np.int64], goal: Series) -> Pixels:
    """``(n, rows, S, 3)`` candidates warped by a thin-plate spline: lips and jaw to ``goal`` ``(K, 2)``; the middle of
    the face and the border of the view stay fixed.
    """
    frontal, (top, bottom) = candidates.frontal, candidates.rows
    side = frontal.side
    still = frontal.pixels_of(frontal.base[list(_STILL)])
    edge = np.array(
        [[x, bottom] for x in np.linspace(0, side, 5)]
        + [[s, y] for s in (0, side) for y in (top, side * 0.7)]
    )
    spots = np.concatenate([goal, still, edge])
    axis_x, axis_y = np.arange(0, side + _EVERY, _EVERY), np.arange(top, bottom + _EVERY, _EVERY)
    x, y = np.meshgrid(axis_x, axis_y)
    basis = spline_basis(spots / side, np.stack([x, y], -1).reshape(-1, 2) / side, 1e-4)[:, : len(goal)]
    moves = np.einsum("pk,nkd->npd", basis, candidates.points[chosen] - goal)
    mx = (np.arange(side, dtype=np.float32) + 0.5) / _EVERY
    my = (np.arange(bottom - top, dtype=np.float32) + 0.5) / _EVERY
    fine = np.meshgrid(mx, my)
    px, py = np.meshgrid(np.arange(side) + np.float32(0.5), np.arange(bottom - top) + np.float32(0.5))
    result = []
    for one, move in zip(chosen, moves, strict=True):
        coarse = move.reshape(*x.shape, 2).astype(np.float32)
        shift = cv2.remap(coarse, fine[0], fine[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result.append(sampled(candidates.textures[one], np.stack([px, py], -1) + shift))
    return np.stack(result)
