"""Whose face a fake shows: an encoder of faces that judges alone.

FaceRes (:mod:`cloak.recognition.encoders`) is attacked by no cloak and looked at by no training, so what it says is not
what something was made to say. Where its weights are not installed, dlib's recognition judges instead, and the report
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloak.recognition import encoders
from synth.extraction.canonical import OF_68
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.finder import FaceFinder

Pixels = NDArray[np.uint8]
JUDGE = "faceres"
#: So many frames, evenly spread, tell what a person looks like.
_SAMPLE = 24


class FaceIdentity:
    """Embeddings of faces in frames, as unit vectors or as dlib's.

    Attributes:
        name: of the network.
        same_person: distance below which two faces count as one person.
        independent: nothing was attacked or trained with it.
    """

    def __init__(self, device: Any = "cpu", weights_dir: Path | None = None) -> None:
        """FaceRes, or dlib's recognition where FaceRes is not installed.

        Raises:
            MissingModelError: neither is.
        """
        self._device = device
        self._encoder: encoders.FaceEncoder | None = None
        self._dlib: DlibEmbedder | None = None
        if JUDGE in encoders.available(weights_dir):
            self._encoder = encoders.FaceEncoder.load(JUDGE, weights_dir, device)
            self.name, self.same_person = "FaceRes", self._encoder.same_person
        else:
            self._dlib = DlibEmbedder(device, weights_dir)
            self.name, self.same_person = "dlib", self._dlib.same_person
        self.independent = self._encoder is not None

    @torch.no_grad()
    def embed(self, pixels: Pixels, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(D,)`` of one face.

        Args:
            pixels: uint8 ``(H, W, 3)`` RGB, the frame.
            landmarks: ``(468, 2 or 3)`` of FaceMesh in its pixels.
        """
        if self._dlib is not None:
            return np.asarray(self._dlib.embed(pixels, landmarks), np.float64)
        assert self._encoder is not None  # noqa: S101 - one of the two is there
        picture = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(self._device)
        points = torch.from_numpy(np.ascontiguousarray(landmarks[list(OF_68), :2], np.float32))
        faces = self._encoder.align(picture.permute(2, 0, 1)[None].float() / 255, points[None])
        return np.asarray(self._encoder.embed(faces)[0].cpu().numpy(), np.float64)

    def of_person(
        self, frames: Callable[[], Iterable[Pixels]], finder: FaceFinder
    ) -> NDArray[np.float64] | None:
        """The mean ``(D,)`` over faces in frames of one person; None where none shows a face. Up to 24 frames, evenly
        spread, are looked at.

        Args:
            frames: begins with the first frame each time it is called.
        """
        count = sum(1 for _ in frames())
        chosen = set(np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(int).tolist())
        seen = []
        for place, pixels in enumerate(frames()):
            found = [one for one in finder.find(pixels) if one.is_face] if place in chosen else []
            if found:
                seen.append(self.embed(pixels, found[0].landmarks))
        if not seen:
            return None
        middle = np.mean(seen, axis=0)
        return np.asarray(middle / np.linalg.norm(middle) if self._encoder is not None else middle)
