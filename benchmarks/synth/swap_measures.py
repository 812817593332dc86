"""Measures of swapped faces that only a benchmark takes: identity, expression and pose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.extraction.canonical import INNER_LIPS
from synth.measure.stats import correlation

#: FaceMesh points: middle of the upper and of the lower lip's inner edge, and both eyes' outer corners.
_UPPER_LIP, _LOWER_LIP = 13, 14
_EYE_CORNERS = (33, 263)


def mouth_openings(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far each mouth is open, as a share of the distance between the outer corners of the eyes.

    Args:
        landmarks: ``(N, 468, 2)`` or with depth, of FaceMesh.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    gap = np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=-1)
    eyes = np.linalg.norm(points[:, _EYE_CORNERS[0]] - points[:, _EYE_CORNERS[1]], axis=-1)
    return np.asarray(gap / np.maximum(eyes, 1e-6))


def landmark_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """How alike two faces move: the correlation over time of each landmark's coordinates, averaged, those that hardly
    move counted less (by their spread in ``first``).

    Args:
        first, second: ``(N, K, 2)`` of the same frames, in one coordinate system.
    """
    a, b = (np.asarray(one, np.float64).reshape(len(one), -1) for one in (first, second))
    spread = a.std(axis=0)
    if spread.sum() < 1e-9:
        return 0.0
    each = np.array([correlation(a[:, column], b[:, column]) for column in range(a.shape[1])])
    return float((each * spread).sum() / spread.sum())


def inner_mouth(landmarks: NDArray[np.floating]) -> NDArray[np.floating]:
    """The points of the lips' inner edge, ``(N, 20, 2)``."""
    return np.asarray(landmarks)[:, list(INNER_LIPS), :2]


def identity_share(
    made: NDArray[np.floating], wanted: NDArray[np.floating], other: NDArray[np.floating]
) -> float:
    """The share of faces whose embedding is nearer to the wanted person's mean than to the other's.

    Args:
        made: ``(N, D)`` embeddings of what was made.
        wanted, other: ``(M, D)``, ``(L, D)`` embeddings of photographs.
    """
    goal, rival = (np.asarray(one, np.float64).mean(0) for one in (wanted, other))
    faces = np.asarray(made, np.float64)
    nearer = np.linalg.norm(faces - goal, axis=1) < np.linalg.norm(faces - rival, axis=1)
    return float(nearer.mean()) if len(faces) else 0.0


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (0 for one value)."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0
