"""Whose face is replaced, where a frame shows something else, or more than one face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError, UsageError
from provenance.media.picture import open_picture
from synth.extraction.embedding import Embedder
from synth.extraction.finder import FaceFinder, Found
from synth.extraction.rules import Thresholds


class FaceSelector:
    """Chooses a face in frame after frame.

    Without a reference that is the largest face, then the one nearest to where the face was before. With one it is the
    face most like it, if it is of one person with it; a frame that does not show that person shows none.

    Args:
        reference: embedding ``(128,)`` of the person whose face is replaced.
        embedder: made it.
    """

    def __init__(
        self, reference: NDArray[np.float32] | None = None, embedder: Embedder | None = None
    ) -> None:
        if (reference is None) != (embedder is None):
            raise UsageError("a reference and what made it belong together")
        self._reference, self._embedder = reference, embedder
        self._before: NDArray[np.floating] | None = None

    @classmethod
    def of_picture(cls, path: Path, finder: FaceFinder, embedder: Embedder) -> FaceSelector:
        """The person whom a picture shows.

        Raises:
            NoFaceError: it shows nobody.
            UsageError: it shows more than one person.
            MissingPathError, MediaError: it cannot be read.
        """
        pixels = open_picture(path).pixels
        found = faces_of(finder.find(pixels))
        if not found:
            raise NoFaceError(f"{path} shows no face", hint="name a picture of the person to be replaced")
        if len(found) > 1:
            raise UsageError(
                f"{path} shows {len(found)} faces", hint="cut it to the person whose face is to be replaced"
            )
        return cls(embedder.embed(pixels, found[0].landmarks[:, :2]), embedder)

    @property
    def by_reference(self) -> bool:
        """Whether somebody in particular is meant."""
        return self._reference is not None

    def choose(self, found: Sequence[Found], pixels: NDArray[np.uint8]) -> Found | None:
        """The face to be replaced in the next frame, or None.

        Args:
            found: of :func:`faces_of`, the largest first.
            pixels: uint8 ``(H, W, 3)`` RGB, the frame.
        """
        chosen = self._most_alike(found, pixels) if self.by_reference else self._nearest(found)
        if chosen is not None:
            self._before = chosen.landmarks[:, :2].mean(0)
        return chosen

    def _nearest(self, found: Sequence[Found]) -> Found | None:
        if self._before is None or len(found) < 2:
            return found[0] if found else None
        return min(found, key=self._moved)

    def _most_alike(self, found: Sequence[Found], pixels: NDArray[np.uint8]) -> Found | None:
        assert self._embedder is not None and self._reference is not None  # noqa: S101 - by_reference
        best, nearest = None, self._embedder.same_person
        for face in found:
            apart = float(
                np.linalg.norm(self._embedder.embed(pixels, face.landmarks[:, :2]) - self._reference)
            )
            if apart <= nearest:
                best, nearest = face, apart
        return best

    def _moved(self, face: Found) -> float:
        return float(np.linalg.norm(face.landmarks[:, :2].mean(0) - self._before))


def faces_of(found: Sequence[Found]) -> list[Found]:
    """What FaceMesh, too, takes for a face: a detector also reports a dog's. The limit is extraction's."""
    least = Thresholds().face_score
    return [one for one in found if one.mesh_score >= least]
