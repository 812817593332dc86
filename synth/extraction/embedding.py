"""By which numbers people are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from synth.extraction.canonical import OF_68


class Embedder(Protocol):
    """Turns a face into numbers that are near each other for one person (Euclidean distance)."""

    name: str
    #: Faces nearer to each other than this are of one person.
    same_person: float

    def embed(self, pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(128,)`` float32.

        Args:
            pixels: uint8 ``(H, W, 3)`` RGB, the frame or an aligned face.
            landmarks: ``(468, 2)`` of FaceMesh in its pixels.
        """
        ...


class DlibEmbedder:
    """dlib's face recognition network (:mod:`cloak.recognition.network`), on faces aligned by FaceMesh's points.

    dlib aligns faces by its 68 landmarks. FaceMesh has points in the same places, so that the predictor of 68
    landmarks, whose licence excludes commercial use, is not needed.

    Raises:
        MissingModelError: the weights are missing; the hint is the command that brings them.
    """

    name = "dlib-face-recognition"

    def __init__(self, device: Any = "cpu", weights_dir: Path | None = None) -> None:
        from cloak.recognition.network import SAME_PERSON, FaceRecognition

        self.same_person: float = SAME_PERSON
        self._device = device
        self._network = FaceRecognition.load(weights_dir, device)

    @torch.no_grad()
    def embed(self, pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
        from cloak.recognition.network import align_faces

        points = np.asarray(landmarks, np.float32)[list(OF_68), :2]
        low, high = points.min(0), points.max(0)
        reach = 0.75 * float((high - low).max()) + 2
        left, top = np.floor(np.clip(low - reach, 0, None)).astype(int)
        right, bottom = np.ceil(high + reach).astype(int) + 1
        part = np.require(pixels[top:bottom, left:right], requirements=["C", "W"])
        if part.size == 0:
            part, left, top = np.require(pixels, requirements=["C", "W"]), 0, 0
        picture = torch.from_numpy(part).to(self._device).permute(2, 0, 1)[None].float() / 255
        aligned = align_faces(picture, torch.from_numpy(points - np.array([left, top], np.float32))[None])
        result: NDArray[np.float32] = self._network.embed(aligned)[0].cpu().numpy().astype(np.float32)
        return result
