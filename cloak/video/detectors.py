"""Detectors and face recognition as films ask them: about known places, in known frames.

dlib's convolutional detector takes 3 to 10 s of one core for a frame of half a megapixel to a whole one. The same
network, asked about the surroundings of a face alone, gives the same answer about that face in a thirtieth of the time
(see :meth:`cloak.detectors.mmod.DlibCnn.detect_near`). In a film it is asked in that way everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import Candidates, Detections, FaceDetector
from cloak.detectors.geometry.matching import matches_faces, merge_faces
from cloak.detectors.geometry.rendering import Rendering
from cloak.evaluate.detect import detect_pixels
from cloak.pixels import to_tensor
from cloak.recognition.objective import Encoder, Recogniser, landmarks_of
from cloak.video.window import Window


@runtime_checkable
class LocalDetector(Protocol):
    """A detector that can be run on places of a picture alone."""

    def detect_near(self, pictures: Tensor, places: Tensor) -> list[Detections]: ...


def detect_near(
    detector: FaceDetector, pixels: np.ndarray, places: Tensor, device: str = "cpu"
) -> Detections:
    """The detector's report for a picture; a :class:`LocalDetector` is run on the places alone.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        places: ``(N, 4)`` in its pixels.
    """
    if not isinstance(detector, LocalDetector):
        return detect_pixels(detector, pixels, device)
    report = detector.detect_near(to_tensor(pixels, device), places)[0]
    return Detections(report.boxes.cpu(), report.scores.cpu())


def detect_in_frame(
    detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str = "cpu"
) -> dict[str, Detections]:
    """Each detector's report for a frame whose faces are not known yet. A :class:`LocalDetector` is run on the places
    that other detectors report, unless there are no others.
    """
    global_detectors = [one for one in detectors if not isinstance(one, LocalDetector)] or list(detectors)
    reports = {one.name: detect_pixels(one, pixels, device) for one in global_detectors}
    faces = merge_faces(list(reports.values()))
    for one in detectors:
        if one.name not in reports:
            reports[one.name] = detect_near(one, pixels, faces, device)
    return reports


class WindowDetector(FaceDetector):
    """A detector that is run on the face, or the decoy, of a window alone.

    Args:
        detector: the one to ask.
        place: ``(1, 4)`` the face in the pixels of what it is shown.
    """

    def __init__(self, detector: FaceDetector, place: Tensor) -> None:
        super().__init__()
        self.name, self.family = detector.name, detector.family  # type: ignore[misc]
        self.threshold = detector.threshold
        self._detector, self._place = detector, place

    def for_rendering(self, rendering: Rendering) -> FaceDetector:
        return WindowDetector(self._detector, rendering.boxes(self._place))

    def detect(self, pictures: Tensor) -> list[Detections]:
        if not isinstance(self._detector, LocalDetector):
            return self._detector.detect(pictures)
        return self._detector.detect_near(pictures, self._place)

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        return self._detector.candidates(pictures, focus)


def window_detectors(detectors: Sequence[FaceDetector], window: Window) -> list[FaceDetector]:
    """The detectors for the search of a window; a :class:`LocalDetector` is restricted to its face."""
    place = window.place.face
    return [WindowDetector(one, place) if isinstance(one, LocalDetector) else one for one in detectors]


class WindowRecogniser(FaceDetector):
    """Face recognition that knows the face in every sample of a window: each frame's own embedding, and where eyes,
    nose and mouth are there.

    Args:
        window: whose renderings it is shown.
        network: an encoder of faces.
        detectors: the first one that sees landmarks of the face in a sample says where they are.
    """

    family = Recogniser.family
    threshold = Recogniser.threshold

    def __init__(self, window: Window, network: Encoder, detectors: Sequence[FaceDetector]) -> None:
        super().__init__()
        self.name = network.name  # type: ignore[misc]
        face = window.place.face.to(window.device)
        self._by_frame: dict[int, Recogniser] = {}
        for sample in window.samples:
            clean = to_tensor(sample.clean, window.device)
            points = landmarks_of(face, _landmark_report(detectors, clean, face))
            self._by_frame[sample.frame] = Recogniser.of(network, clean, face, points, is_patch=True)
        self._key = self._by_frame[window.samples[0].frame]

    def for_rendering(self, rendering: Rendering) -> FaceDetector:
        own = self._key if rendering.frame is None else self._by_frame[rendering.frame]
        return own.for_rendering(rendering)

    def detect(self, pictures: Tensor) -> list[Detections]:
        """What it reports for the key frame's patch."""
        return self._key.detect(pictures)

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """What it considers in the key frame's patch."""
        return self._key.candidates(pictures, focus)


def _landmark_report(detectors: Sequence[FaceDetector], clean: Tensor, face: Tensor) -> list[Detections]:
    """The report of the first detector with five landmarks of the face; empty where there is none."""
    for detector in detectors:
        with torch.no_grad():
            report = detector.detect(clean)[0]
        points = report.landmarks
        if points is not None and points.shape[1] == 5 and bool(matches_faces(report.boxes, face).any()):
            return [report]
    return []


@torch.no_grad()
def window_landmarks(window: Window, detectors: Sequence[FaceDetector]) -> dict[str, list[Tensor]]:
    """By detector, its landmarks of the face in the key frame, ``(K, 2)`` in working pixels; only of those that see it
    there and have landmarks.
    """
    face, result = window.place.face.to(window.device), {}
    for detector in detectors:
        report = detector.detect(window.key)[0]
        if report.landmarks is None:
            continue
        matching = matches_faces(report.boxes, face)[:, 0]
        if bool(matching.any()):
            result[detector.name] = [report.landmarks[matching.nonzero()[0, 0]].to(window.key)]
    return result


@torch.no_grad()
def recognition_distances(recogniser: Recogniser, pixels: np.ndarray, device: str) -> list[float]:
    """How far each face is from itself uncloaked, in a version of the frame at any size."""
    distances: list[float] = recogniser.distances(to_tensor(pixels, device))[0].tolist()
    return distances
