"""Find faces in a frame: boxes by a detector, then 468 landmarks by FaceMesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloak import detectors
from cloak.recognition.face_mesh import FaceMesh, face_rois
from provenance.errors import UsageError

#: Asked in turn until one finds a face: the first is five times as fast and finds what is not small, the second finds
#: small faces too. ``benchmarks/cloak/landmarks.py`` prints what each of the detectors finds and costs.
DEFAULT_DETECTORS = ("blazeface-back", "centerface")
#: Detectors see frames at this size; the landmarks are read from the full frame.
DETECTION_SIDE = 640
_MAX_FACES = 20
#: Families of detectors whose landmarks begin with the eyes.
_WITH_EYES = frozenset(("blazeface", "centerface", "cascade", "retinaface"))
_EYES = ((33, 133), (362, 263))


@dataclass(frozen=True)
class Found:
    """A face in a frame.

    Attributes:
        box: x1 y1 x2 y2 in pixels.
        score: of the detector, 0 to 1.
        landmarks: ``(468, 3)`` float32: x and y in pixels, z away from the camera in the same scale.
        mesh_score: FaceMesh's logit that this is a face.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] = field(repr=False)
    mesh_score: float

    @property
    def span(self) -> float:
        """Distance between the middles of the eyes, pixels."""
        left, right = (self.landmarks[list(corners), :2].mean(0) for corners in _EYES)
        return float(np.linalg.norm(right - left))


class FaceFinder:
    """Detectors and FaceMesh, loaded once.

    Args:
        names: detectors with landmarks (their first two are the eyes), asked in turn until one finds a face.
        device: where torch computes.
        weights_dir: a folder to look in for weights first.

    Raises:
        UsageError: an unknown detector, or one without landmarks.
        MissingModelError: weights are missing.
    """

    def __init__(
        self,
        names: Sequence[str] = DEFAULT_DETECTORS,
        device: Any = "cpu",
        weights_dir: Path | None = None,
    ) -> None:
        usable = [
            name for name in detectors.available(weights_dir) if detectors.info(name).family in _WITH_EYES
        ]
        if not names or not all(detectors.info(name).family in _WITH_EYES for name in names):
            raise UsageError(
                f"{', '.join(names) or 'no detector'} cannot tell where the eyes are",
                hint="choose among " + ", ".join(usable),
            )
        self.names, self.device = tuple(names), device
        self._detectors = [detectors.load(name, device, weights_dir) for name in names]
        self._mesh = FaceMesh.load(weights_dir).to(device)

    def find(self, pixels: NDArray[np.uint8]) -> list[Found]:
        """Faces of a frame, the largest first.

        Args:
            pixels: uint8 ``(H, W, 3)`` RGB.
        """
        boxes, scores, points = self._detect(pixels)
        found = [
            self._landmarks(pixels, box, float(score), own)
            for box, score, own in zip(boxes, scores, points, strict=True)
        ]
        return _distinct(found)

    @torch.no_grad()
    def _detect(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor]:
        height, width = pixels.shape[:2]
        scale = min(1.0, DETECTION_SIDE / max(height, width))
        small = pixels
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        batch = _tensor(small, self.device)
        for detector in self._detectors:
            seen = detector.detect(batch)[0]
            if len(seen) and seen.landmarks is not None:
                factor = seen.boxes.new_tensor([width / small.shape[1], height / small.shape[0]])
                boxes = (seen.boxes.view(-1, 2, 2) * factor).view(-1, 4)
                return (
                    boxes[:_MAX_FACES].cpu(),
                    seen.scores[:_MAX_FACES].cpu(),
                    (seen.landmarks * factor)[:_MAX_FACES].cpu(),
                )
        return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 2, 2)

    @torch.no_grad()
    def _landmarks(self, pixels: NDArray[np.uint8], box: Tensor, score: float, eyes: Tensor) -> Found:
        """Twice: in the region that the detector gives, then in the one that the landmarks themselves give, so that
        they depend little on the detector's box.
        """
        first, _ = self._mesh_in(pixels, face_rois(box[None], eyes[None, :2]))
        corners = torch.stack([first[list(pair), :2].mean(0) for pair in _EYES])
        around = torch.cat([first[:, :2].amin(0), first[:, :2].amax(0)])
        mesh, logit = self._mesh_in(pixels, face_rois(around[None], corners[None]))
        sides = [float(side) for side in box]
        return Found((sides[0], sides[1], sides[2], sides[3]), score, mesh.numpy(), logit)

    def _mesh_in(self, pixels: NDArray[np.uint8], roi: Tensor) -> tuple[Tensor, float]:
        """FaceMesh in one region; only the part of the frame around it is handed over."""
        x, y, side = (float(value) for value in roi[0, :3])
        reach = side * 0.75 + 2
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        part = pixels[top : max(top + 1, int(y + reach) + 1), left : max(left + 1, int(x + reach) + 1)]
        if part.size == 0:
            part = pixels[-1:, -1:]
            left, top = pixels.shape[1] - 1, pixels.shape[0] - 1
        shrink = max(1, int(side // 384))
        if shrink > 1:  # a large face is averaged down first, because the network samples single pixels
            size = (max(1, part.shape[1] // shrink), max(1, part.shape[0] // shrink))
            factor = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        else:
            factor = np.ones(2)
        scale = torch.tensor(factor, dtype=torch.float32)
        inside = roi.clone()
        inside[:, :2] = (roi[:, :2] - roi.new_tensor([left, top])) / scale
        inside[:, 2:4] = roi[:, 2:4] / scale
        points, logit = self._mesh(_tensor(part, self.device), inside.to(self.device))
        mesh = points[0].cpu()
        mesh[:, :2] = mesh[:, :2] * scale + torch.tensor([left, top], dtype=torch.float32)
        mesh[:, 2] *= float(scale.mean())
        return mesh, float(logit[0])


def _distinct(found: Sequence[Found]) -> list[Found]:
    """The largest first, each face once: two boxes may lead to the same landmarks."""
    result: list[Found] = []
    for face in sorted(found, key=lambda one: -one.span):
        middle = face.landmarks[:, :2].mean(0)
        if all(
            np.linalg.norm(middle - other.landmarks[:, :2].mean(0)) > 0.5 * other.span for other in result
        ):
            result.append(face)
    return result


def _tensor(pixels: NDArray[np.uint8], device: Any) -> Tensor:
    """``(1, 3, H, W)`` in [0, 1]."""
    return (
        torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        .to(device)
        .permute(2, 0, 1)[None]
        .float()
        / 255
    )
