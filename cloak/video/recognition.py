"""Face recognition and landmarks in videos: what the search of a window and the judging of frames need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cloak.attack.objective import matches_faces
from cloak.detectors.base import Candidates, Detections, FaceDetector
from cloak.evaluate.judge import DisplayedPicture, to_tensor
from cloak.recognition.network import FaceRecognition
from cloak.recognition.objective import Recogniser, landmarks_of

if TYPE_CHECKING:
    from cloak.video.window import Window

#: What reports call face recognition.
RECOGNITION = Recogniser.name


class WindowRecogniser(FaceDetector):
    """Face recognition that knows the face in every sample of a window: each frame's own embedding, and where eyes,
    nose and mouth are there. It is asked about the sample that the window showed last.

    Args:
        window: whose conditions show it pictures.
        network: see there.
        detectors: the first one that sees landmarks of the face in a sample says where they are.
    """

    name = Recogniser.name
    family = Recogniser.family
    threshold = Recogniser.threshold

    def __init__(self, window: Window, network: FaceRecognition, detectors: Sequence[FaceDetector]) -> None:
        super().__init__()
        self._window = window
        face = window.place.face.to(window.device)
        self._by_frame: dict[int, Recogniser] = {}
        for sample in window.samples:
            clean = to_tensor(sample.clean, window.device)
            points = landmarks_of(face, _landmark_report(detectors, clean, face))
            reference = Recogniser.of(network, clean, face, points).reference
            size = (int(clean.shape[-2]), int(clean.shape[-1]))
            self._by_frame[sample.frame] = Recogniser(network, size, face, points, reference, is_patch=True)

    def detect(self, pictures: Tensor) -> list[Detections]:
        return self._current().detect(pictures)

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        return self._current().candidates(pictures, focus)

    def settled(self) -> FaceDetector:
        return self._current()

    def _current(self) -> Recogniser:
        return self._by_frame[(self._window.shown or self._window.samples[0]).frame]


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


def frame_recogniser(
    network: FaceRecognition,
    plain: DisplayedPicture,
    faces: Tensor,
    reports: Mapping[str, Detections],
    device: str,
) -> Recogniser:
    """Knowing the faces of an uncloaked frame.

    Args:
        network: see there.
        plain: the frame as detectors are shown it.
        faces: ``(N, 4)`` in pixels of the frame.
        reports: what detectors see in it.
    """
    points = landmarks_of(faces * plain.scale, list(reports.values())) / plain.scale
    return Recogniser.of(network, to_tensor(plain.pixels, device), faces, points, scale=plain.scale)


@torch.no_grad()
def recognition_distances(recogniser: Recogniser, pixels: np.ndarray, device: str) -> list[float]:
    """How far each face is from itself uncloaked, in a version of the frame at any size."""
    distances: list[float] = recogniser.distances(to_tensor(pixels, device))[0].tolist()
    return distances


def landmark_shifts(before: Detections, after: Detections, faces: Tensor) -> list[float]:
    """How far landmarks moved, in face sizes, for each of ``(N, 4)`` faces that both reports hold."""
    if before.landmarks is None or after.landmarks is None:
        return []
    result = []
    old, new = matches_faces(before.boxes, faces), matches_faces(after.boxes, faces)
    for column in range(len(faces)):
        if bool(old[:, column].any()) and bool(new[:, column].any()):
            first = before.landmarks[old[:, column].nonzero()[0, 0]]
            second = after.landmarks[new[:, column].nonzero()[0, 0]]
            size = (faces[column, 2:] - faces[column, :2]).mean()
            result.append(float((first - second).square().sum(1).sqrt().mean() / size))
    return result
