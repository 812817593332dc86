"""A set of aligned faces, loaded for training and measuring."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, MediaTooLargeError, NoFaceError, UsageError
from provenance.media.picture import open_picture
from synth.extraction.alignments import Alignments, Face, Frame
from synth.extraction.canonical import (
    LARGEST_SIZE,
    SMALLEST_SIZE,
    detail_mask,
    face_mask,
    transformed,
)

#: Training takes at least so many faces of a person.
FEWEST_FACES = 16
MAX_PIXELS_BYTES = 32 * 1024**3


@dataclass(frozen=True)
class FaceSet:
    """The kept faces of an extraction, in order of time.

    Attributes:
        folder: where it lies.
        alignments: everything that is known about it; its ``consent`` must travel with what is made of the faces.
        members: frame and face of each row of the arrays.
        size: side of the pictures, pixels.
    """

    folder: Path
    alignments: Alignments
    members: tuple[tuple[Frame, Face], ...]
    size: int

    @classmethod
    def load(cls, folder: Path, *, size: int | None = None) -> FaceSet:
        """Read a folder that ``veilmark synth extract`` wrote.

        Args:
            size: side that pictures, masks and landmarks are scaled to; None keeps that of the extraction.

        Raises:
            MissingPathError, CorruptMediaError: no set of faces, or a damaged one.
            NoFaceError: no face was kept.
            UsageError: a size outside of 64 to 512.
            MediaTooLargeError: the pictures would need more than 32 GiB.
        """
        alignments = Alignments.load(Path(folder))
        side = alignments.size if size is None else size
        if not SMALLEST_SIZE <= side <= LARGEST_SIZE:
            raise UsageError(f"size {side} is not between {SMALLEST_SIZE} and {LARGEST_SIZE}")
        members = tuple(alignments.faces())
        if not members:
            raise NoFaceError(
                f"{folder} holds no face that was kept",
                hint="see its alignments.json for the reasons, and extract again with looser thresholds",
            )
        if len(members) * side * side * 3 > MAX_PIXELS_BYTES:
            raise MediaTooLargeError(f"{len(members)} faces of {side} pixels are over the limit on memory")
        return cls(Path(folder), alignments, members, side)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def consent(self) -> dict[str, Any]:
        """Under which consent the footage is used, as ``alignments.json`` says."""
        return self.alignments.consent

    def pixels(self) -> NDArray[np.uint8]:
        """``(N, S, S, 3)`` uint8 RGB.

        Raises:
            MissingPathError, CorruptMediaError: a picture is missing, damaged, or of another size.
        """
        return np.stack([self._picture(face) for _, face in self.members])

    def landmarks(self) -> NDArray[np.float32]:
        """``(N, 468, 2)`` float32, x and y in pixels of the aligned pictures."""
        return self._landmarks

    def masks(self) -> NDArray[np.uint8]:
        """``(N, S, S)`` uint8: 255 on the face (the convex hull of its landmarks), 0 elsewhere, edges between."""
        return np.stack([face_mask(points, self.size) for points in self._landmarks])

    def details(self) -> NDArray[np.uint8]:
        """``(N, S, S)`` uint8: 255 on eyes and mouth, where a face is looked at most; for weighting losses."""
        return np.stack([detail_mask(points, self.size) for points in self._landmarks])

    def matrices(self) -> NDArray[np.float64]:
        """``(N, 2, 3)``: from each face's frame to its aligned picture, in pixels with (0, 0) at the corner."""
        return np.stack([self._matrix(face) for _, face in self.members])

    def embeddings(self) -> NDArray[np.float32] | None:
        """``(N, 128)`` float32, or None where the extraction had no network to make them."""
        if any(face.embedding is None for _, face in self.members):
            return None
        return np.stack([face.embedding for _, face in self.members if face.embedding is not None])

    def times(self) -> NDArray[np.float64]:
        """``(N,)`` seconds from the beginning of each face's source."""
        return np.array([frame.time for frame, _ in self.members])

    def sources(self) -> NDArray[np.int64]:
        """``(N,)`` number of each face's source in ``alignments.sources``."""
        return np.array([frame.source for frame, _ in self.members])

    @cached_property
    def _landmarks(self) -> NDArray[np.float32]:
        rows = [transformed(face.landmarks, self._matrix(face)) for _, face in self.members]
        return np.stack(rows).astype(np.float32)

    def _matrix(self, face: Face) -> NDArray[np.float64]:
        return np.asarray(face.matrix * (self.size / self.alignments.size))

    def _picture(self, face: Face) -> NDArray[np.uint8]:
        side = self.alignments.size
        pixels = open_picture(self.folder / face.file, max_pixels=LARGEST_SIZE**2).pixels
        if pixels.shape != (side, side, 3):
            raise CorruptMediaError(
                f"{self.folder / face.file} has the shape {pixels.shape}, expected {(side, side, 3)}"
            )
        if side == self.size:
            return pixels
        method = cv2.INTER_AREA if self.size < side else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(pixels, (self.size, self.size), interpolation=method), dtype=np.uint8)
