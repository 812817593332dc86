"""Detectors as their own libraries run them: Haar cascades, which only judge, and dlib's two.

What the cascades still find tells how far a cloak carries to detectors it never saw. dlib's get their gradients in
:mod:`cloak.detectors.hog` and :mod:`cloak.detectors.mmod`, and are run here. Results have the same form as
those of all detectors; where the original reports another kind of score, its sigmoid is given, so that 0.5 is the
original's own threshold.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from provenance.errors import MissingModelError, UsageError

_MAX_FACES = 1000
_MIN_SIDE = 32
CASCADES = {
    "default": "haarcascade_frontalface_default.xml",
    "alt2": "haarcascade_frontalface_alt2.xml",
}


class NativeDetector(FaceDetector):
    """Base of detectors that see one picture at a time, as ``(H, W, 3)`` uint8 RGB."""

    threshold = 0.5

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        batch = (pictures * 255.0).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        results = []
        for pixels in batch:
            boxes, scores = self._detect_pixels(pixels.copy())  # with plain strides, as dlib insists
            order = np.argsort(-scores, kind="stable")[:_MAX_FACES]
            results.append(
                Detections(
                    torch.from_numpy(boxes[order].astype(np.float32)).reshape(-1, 4).to(pictures.device),
                    torch.from_numpy(scores[order].astype(np.float32)).to(pictures.device),
                )
            )
        return results

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """These detectors have no gradients.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.name} has no gradients: it can judge a cloak, not make one",
            hint="choose among `cloak.detectors.available(differentiable=True)`",
        )

    @abstractmethod
    def _detect_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes ``(N, 4)`` in pixels and scores ``(N,)`` in [0, 1]."""


class HaarCascade(NativeDetector):
    """Viola and Jones (2001) as OpenCV ships it: ``variant`` "default" or "alt2", scale step 1.1, five
    neighbours, faces from 30 pixels.
    """

    name = "haar"
    family = "haar"

    def __init__(self, variant: str = "default") -> None:
        super().__init__()
        if variant not in CASCADES:
            raise UsageError(
                f"no Haar cascade is called {variant!r}", hint="the names are: " + ", ".join(CASCADES)
            )
        import cv2

        folder = Path(cv2.data.haarcascades) if hasattr(cv2, "data") else None
        if folder is None or not hasattr(cv2, "CascadeClassifier"):
            raise MissingModelError(
                "this OpenCV has no cascades", hint="run `pip install 'opencv-python-headless<5'`"
            )
        self._cascade = cv2.CascadeClassifier(str(folder / CASCADES[variant]))

    @classmethod
    def load(cls, weights_dir: Path | None = None, variant: str = "default") -> HaarCascade:
        """From OpenCV's own data; ``weights_dir`` is not needed."""
        return cls(variant)

    def _detect_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        found, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30), outputRejectLevels=True
        )
        corners = np.asarray(found, np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        return corners, _sigmoid(np.asarray(weights, np.float64).reshape(-1))


class NativeDlibHog(NativeDetector):
    """dlib's frontal face detector: histograms of oriented gradients and a linear classifier (Dalal and
    Triggs, 2005; King, 2015), on the picture enlarged once as face_recognition does.
    """

    name = "dlib-hog"
    family = "hog"

    def __init__(self) -> None:
        super().__init__()
        self._detector = _dlib().get_frontal_face_detector()

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> NativeDlibHog:
        """The weights are part of dlib.

        Raises:
            MissingModelError: dlib is not installed.
        """
        return cls()

    def _detect_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, scores, _ = self._detector.run(pixels, 1, 0.0)
        return _corners(found), _sigmoid(np.asarray(list(scores), np.float64))


class NativeDlibCnn(NativeDetector):
    """dlib's convolutional face detector (King, 2015, "Max-Margin Object Detection"), at the picture's own
    size: faces from about 80 pixels.
    """

    name = "dlib-cnn"
    family = "mmod"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._detector = _dlib().cnn_face_detection_model_v1(str(path))

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> NativeDlibCnn:
        """With the installed weights.

        Raises:
            MissingModelError: dlib or the weights are missing, or the weights are altered.
        """
        models.read("dlib-mmod", weights_dir)
        path = models.locate(models.model("dlib-mmod"), weights_dir)
        if path is None:
            raise MissingModelError("the weights dlib-mmod have just disappeared")
        return cls(path)

    def _detect_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if min(pixels.shape[:2]) < _MIN_SIDE:
            # dlib fails on what is smaller than its filters, and no face of 80 pixels is in it
            return np.zeros((0, 4)), np.zeros(0)
        found = self._detector(pixels, 0)
        scores = np.array([face.confidence for face in found], np.float64)
        return _corners([face.rect for face in found]), _sigmoid(scores)


def _corners(rectangles: Any) -> np.ndarray:
    """dlib's rectangles, which include their last pixel."""
    corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
    return np.array(corners, np.float64).reshape(-1, 4)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    scores: np.ndarray = 1 / (1 + np.exp(-values.clip(-50, 50)))
    return scores


def _dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError:
        raise MissingModelError("dlib is not installed", hint="run `pip install dlib-bin`") from None
