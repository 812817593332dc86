"""Orders of a set's faces, and which two sets go well together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError, UsageError
from synth.extraction.alignments import Alignments, Face, Frame
from synth.extraction.canonical import EYE_DISTANCE, OF_68, transformed, umeyama
from synth.extraction.rules import centre

ORDERS = ("time", "yaw", "pitch", "roll", "blur", "size", "similarity", "person")
#: Yaw, and pitch from the set's median, in degrees, up to which a face looks into the camera.
_FRONTAL = (20.0, 25.0)
_STEP = 10.0
#: The 68 landmarks of a mirror image, in order.
_MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)


def ordered(alignments: Alignments, by: str, *, kept: bool = True) -> list[tuple[Frame, Face, float]]:
    """Faces in an order, each with the value that it was ordered by.

    Args:
        by: ``time``; ``yaw``, ``pitch``, ``roll`` (from negative to positive degrees); ``blur`` (sharp first);
            ``size`` (the largest first, pixels of the frame); ``similarity`` (each face is followed by the one most
            like it in shape and pose; the value is the distance to the one before); ``person`` (distance from the
            set's average embedding, nearest first).
        kept: only faces that are kept.

    Raises:
        UsageError: an unknown order, or ``person`` without embeddings.
    """
    pairs = alignments.faces(kept=kept)
    if by == "similarity":
        return _chained(alignments, pairs)
    keys: dict[str, Any] = {
        "time": lambda pair: pair[0].number,
        "yaw": lambda pair: pair[1].yaw,
        "pitch": lambda pair: pair[1].pitch,
        "roll": lambda pair: pair[1].roll,
        "blur": lambda pair: pair[1].measures.get("blur", 0.0),
        "size": lambda pair: -pair[1].span,
        "person": _from_average(pairs) if by == "person" else None,
    }
    if by not in keys:
        raise UsageError(f"there is no order by {by[:40]!r}", hint="one of " + ", ".join(ORDERS))
    found = sorted(((*pair, float(keys[by](pair))) for pair in pairs), key=lambda one: one[2])
    return [(frame, face, abs(value) if by == "size" else value) for frame, face, value in found]


def _from_average(pairs: Sequence[tuple[Frame, Face]]) -> Any:
    embeddings = [face.embedding for _, face in pairs if face.embedding is not None]
    if not pairs or len(embeddings) != len(pairs):
        raise UsageError("these faces were extracted without a network that tells people apart")
    average = centre(np.stack(embeddings))
    return lambda pair: float(np.linalg.norm(pair[1].embedding - average))


def _chained(alignments: Alignments, pairs: Sequence[tuple[Frame, Face]]) -> list[tuple[Frame, Face, float]]:
    """From the most ordinary face to its nearest neighbour, and so on."""
    if not pairs:
        return []
    shapes = np.stack([_shape(face, alignments.size).ravel() for _, face in pairs])
    at = int(np.argmin(np.linalg.norm(shapes - np.median(shapes, axis=0), axis=1)))
    left = np.ones(len(pairs), bool)
    result = [(*pairs[at], 0.0)]
    left[at] = False
    while left.any():
        apart = np.linalg.norm(shapes - shapes[at], axis=1) / np.sqrt(shapes.shape[1] / 2)
        apart[~left] = np.inf
        at = int(np.argmin(apart))
        left[at] = False
        result.append((*pairs[at], float(apart[at])))
    return result


@dataclass(frozen=True)
class PairRank:
    """How well two sets go together; lower ``score`` is better.

    Attributes:
        first, second: folders of the sets.
        shape: root of the mean squared distance between the landmarks of both people's average frontal faces, laid onto
            each other, in eye distances.
        poses: share of the poses (cells of 10 degrees of yaw and pitch) of one set that the other lacks, averaged over
            both; 0 when each can show what the other does.
        score: ``shape`` plus a tenth of ``poses``.
    """

    first: Path
    second: Path
    shape: float
    poses: float

    @property
    def score(self) -> float:
        return self.shape + 0.1 * self.poses


def rank_pairs(folders: Sequence[Path]) -> list[PairRank]:
    """Every pair of sets, the likest face shapes first: a swap between these shows least where the outline was moved.

    Raises:
        UsageError: fewer than two sets.
        MissingPathError, CorruptMediaError, NoFaceError: a set that cannot be used.
    """
    if len(folders) < 2:
        raise UsageError("pairs need at least two sets of faces", hint="name two or more folders")
    sets = [(folder, Alignments.load(folder)) for folder in folders]
    shapes = [average_shape(alignments, str(folder)) for folder, alignments in sets]
    cells = [_pose_cells(alignments) for _, alignments in sets]
    ranks = []
    for i in range(len(sets)):
        for j in range(i + 1, len(sets)):
            apart = shape_distance(shapes[i], shapes[j])
            missing = (
                len(cells[i] - cells[j]) / len(cells[i]) + len(cells[j] - cells[i]) / len(cells[j])
            ) / 2
            ranks.append(PairRank(folders[i], folders[j], apart, missing))
    return sorted(ranks, key=lambda rank: rank.score)


def average_shape(alignments: Alignments, shown: str = "the set") -> NDArray[np.float64]:
    """``(68, 2)`` median places of a person's landmarks, in eye distances: over faces that look into the camera (or,
    where there are fewer than five, over the five that do most nearly), and made symmetric, which takes out most of
    what is left of a turned head.

    Raises:
        NoFaceError: no face is kept.
    """
    faces = [face for _, face in alignments.faces()]
    if not faces:
        raise NoFaceError(f"{shown} holds no face that was kept")
    middle = float(np.median([face.pitch for face in faces]))
    frontal = [
        face for face in faces if abs(face.yaw) < _FRONTAL[0] and abs(face.pitch - middle) < _FRONTAL[1]
    ]
    if len(frontal) < 5:
        frontal = sorted(faces, key=lambda face: abs(face.yaw) + abs(face.pitch - middle))[:5]
    shape = np.asarray(np.median([_shape(face, alignments.size) for face in frontal], axis=0), np.float64)
    return (shape + shape[list(_MIRRORED)] * (-1, 1)) / 2


def shape_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Root of the mean squared distance between two shapes ``(K, 2)``, the second laid onto the first."""
    matrix = umeyama(second, first)
    return float(np.sqrt(((transformed(second, matrix) - first) ** 2).sum(1).mean()))


def _shape(face: Face, size: int) -> NDArray[np.float64]:
    """The 68 places of an aligned face in eye distances of the canonical face."""
    points = transformed(face.landmarks[list(OF_68)], face.matrix)
    return np.asarray((points - size / 2) / (EYE_DISTANCE * size), np.float64)


def _pose_cells(alignments: Alignments) -> set[tuple[int, int]]:
    return {(round(face.yaw / _STEP), round(face.pitch / _STEP)) for _, face in alignments.faces()}
