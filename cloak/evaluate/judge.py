"""Asking detectors about finished pictures, through the conditions those may meet on their way."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cloak.attack.objective import faces_found, matches_faces
from cloak.attack.regions import merge_faces
from cloak.detectors.base import Detections, FaceDetector

#: Longer sides of pictures that detectors are shown: what scrapers scale down to, and what two cores can do.
MAX_DISPLAY_SIDE = 1280


@dataclass(frozen=True)
class DisplayedPicture:
    """A picture as detectors are shown it.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, the longer side at most :data:`MAX_DISPLAY_SIDE`.
        scale: its size divided by the picture's.
    """

    pixels: np.ndarray
    scale: float


def display_picture(pixels: np.ndarray) -> DisplayedPicture:
    """The picture, scaled down where it is large."""
    scale = min(1.0, MAX_DISPLAY_SIDE / max(pixels.shape[:2]))
    return DisplayedPicture(pixels if scale == 1.0 else scaled(pixels, scale), scale)


def to_tensor(pixels: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 ``(H, W, 3)`` as ``(1, 3, H, W)`` float32 in [0, 1]."""
    channels_first = np.array(pixels.transpose(2, 0, 1), order="C")
    return torch.from_numpy(channels_first)[None].to(device).float() / 255


def scaled(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Resized by area averaging, as most programs shrink pictures."""
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """After a real JPEG encoder and decoder, chroma halved."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer).convert("RGB"))


def render_conditions(pixels: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """By name: the picture under each condition, and its scale."""
    return {
        "published": (pixels, 1.0),
        "jpeg75": (recompressed(pixels, 75), 1.0),
        "half": (scaled(pixels, 0.5), 0.5),
    }


def detect_pixels(detector: FaceDetector, pixels: np.ndarray, device: str = "cpu") -> Detections:
    """What the detector, as it is used in earnest, reports for one picture; on the CPU."""
    report = detector.detect(to_tensor(pixels, device))[0]
    landmarks = None if report.landmarks is None else report.landmarks.cpu()
    return Detections(report.boxes.cpu(), report.scores.cpu(), landmarks)


def find_faces(
    detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str = "cpu"
) -> tuple[Tensor, dict[str, Detections]]:
    """The faces that at least one detector reports, ``(N, 4)`` largest first, and each detector's report."""
    reports = {detector.name: detect_pixels(detector, pixels, device) for detector in detectors}
    return merge_faces(list(reports.values())), reports


def which_found(report: Detections, faces: Tensor) -> list[bool]:
    """For each face: does the report contain it?"""
    return [bool(hit) for hit in faces_found(report, faces)]


def landmark_errors(before: Detections, after: Detections, faces: Tensor | None = None) -> list[float]:
    """For faces reported both times: the mean distance of the landmarks, in face sizes (mean side of the box).

    Args:
        before, after: reports in the same pixels.
        faces: ``(N, 4)``, the faces that count; None for all that were reported before.
    """
    if before.landmarks is None or after.landmarks is None:
        return []
    same = matches_faces(after.boxes, before.boxes)
    wanted = torch.ones(len(before), dtype=torch.bool)
    if faces is not None:
        wanted = matches_faces(before.boxes, faces).any(1)
    errors = []
    for column in wanted.nonzero()[:, 0].tolist():
        for row in same[:, column].nonzero()[:1, 0].tolist():
            size = (before.boxes[column, 2:] - before.boxes[column, :2]).mean()
            gap = (after.landmarks[row] - before.landmarks[column]).square().sum(1).sqrt().mean()
            errors.append(float(gap / size))
    return errors


def new_detections(before: Detections, after: Detections, faces: Tensor) -> int:
    """How many reports are about none of the faces, nor about anything reported before."""
    known = torch.cat([faces, before.boxes])
    if not len(after):
        return 0
    return int((~matches_faces(after.boxes, known).any(1)).sum()) if len(known) else len(after)
