"""Find faces in a frame: boxes by detectors, then 468 landmarks by FaceMesh.

A detector's report counts as a face where FaceMesh takes it for one. A cloak may raise a decoy in one detector and
leave another alone; who stopped at the first report would miss the face that the other sees.
"""

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

#: The first is five times as fast and finds what is not small, the second finds small faces too.
#: ``benchmarks/cloak/landmarks.py`` prints what each of the detectors finds and costs.
DEFAULT_DETECTORS = ("blazeface-back", "centerface")
#: Detectors see frames at this size; the landmarks are read from the full frame.
DETECTION_SIDE = 640
_MAX_FACES = 20
#: Families of detectors whose landmarks begin with the eyes; of other boxes the face is taken for upright, and FaceMesh
#: then turns the region along the eyes that it finds.
_WITH_EYES = frozenset(("blazeface", "centerface", "cascade", "retinaface", "yunet"))
_UPRIGHT = ((0.3, 0.4), (0.7, 0.4))
_EYES = ((33, 133), (362, 263))
#: FaceMesh's logit from which something is a face.
FACE_SCORE = 0.0
#: Faces whose middles are nearer than this, in distances between the eyes, are one.
_ONE_FACE = 0.5


@dataclass(frozen=True)
class Found:
    """A face in a frame.

    Attributes:
        box: x1 y1 x2 y2 in pixels.
        score: of the detector, 0 to 1; 0 where no detector reported it (it was followed, or a person drew the box).
        landmarks: ``(468, 3)`` float32: x and y in pixels, z away from the camera in the same scale.
        mesh_score: FaceMesh's logit that this is a face.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] = field(repr=False)
    mesh_score: float

    @property
    def is_face(self) -> bool:
        """Whether FaceMesh takes it for a face."""
        return self.mesh_score >= FACE_SCORE

    @property
    def span(self) -> float:
        """Distance between the middles of the eyes, pixels."""
        left, right = (self.landmarks[list(corners), :2].mean(0) for corners in _EYES)
        return float(np.linalg.norm(right - left))


class FaceFinder:
    """Detectors and FaceMesh, loaded once.

    Args:
        names: detectors, in the order in which they are asked.
        device: where torch computes.
        weights_dir: a folder to look in for weights first.
        ask_all: ask each detector about each frame. Else they are asked in turn until FaceMesh takes one's report for a
            face, which is faster and finds fewer further people.

    Raises:
        UsageError: an unknown detector, or none.
        MissingModelError: weights are missing.
    """

    def __init__(
        self,
        names: Sequence[str] = DEFAULT_DETECTORS,
        device: Any = "cpu",
        weights_dir: Path | None = None,
        *,
        ask_all: bool = False,
    ) -> None:
        if not names:
            raise UsageError("no detector is named", hint="leave the option out for the default")
        self.names, self.device, self.ask_all = tuple(names), device, ask_all
        self._detectors = [detectors.load(name, device, weights_dir) for name in names]
        self._mesh = FaceMesh.load(weights_dir).to(device)

    def find(self, pixels: NDArray[np.uint8]) -> list[Found]:
        """Faces of a frame, the largest first; after them what detectors report and FaceMesh takes for no face.

        Args:
            pixels: uint8 ``(H, W, 3)`` RGB.
        """
        height, width = pixels.shape[:2]
        scale = min(1.0, DETECTION_SIDE / max(height, width))
        small = pixels
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        batch = _tensor(small, self.device)
        found: list[Found] = []
        for name, detector in zip(self.names, self._detectors, strict=True):
            for box, score, eyes in self._reports(name, detector, batch, pixels):
                found.append(self._landmarks(pixels, box, score, eyes))
            if not self.ask_all and any(one.is_face for one in found):
                break
        return _distinct(found)

    def follow(
        self, pixels: NDArray[np.uint8], box: Sequence[float], eyes: Sequence[Sequence[float]]
    ) -> Found:
        """The face in a region that no detector reported: where it was in the frame before, or where a person drew a
        box (see :func:`upright_eyes`). ``is_face`` of the result says whether there is one.

        Args:
            pixels: uint8 ``(H, W, 3)`` RGB.
            box: x1 y1 x2 y2 of the face, in pixels.
            eyes: ``(2, 2)`` the middles of the eyes, left in the picture first, in pixels.
        """
        around = torch.tensor([float(side) for side in box])
        return self._landmarks(pixels, around, 0.0, torch.tensor(np.asarray(eyes, np.float32)))

    @torch.no_grad()
    def _reports(
        self, name: str, detector: Any, batch: Tensor, pixels: NDArray[np.uint8]
    ) -> list[tuple[Tensor, float, Tensor]]:
        """Box, score and eyes of what a detector reports, in pixels of the frame."""
        seen = detector.detect(batch)[0]
        if not len(seen):
            return []
        factor = torch.tensor([pixels.shape[1] / batch.shape[3], pixels.shape[0] / batch.shape[2]])
        boxes = (seen.boxes[:_MAX_FACES].cpu().float().view(-1, 2, 2) * factor).view(-1, 4)
        scores = [float(one) for one in seen.scores[:_MAX_FACES]]
        if seen.landmarks is not None and detectors.info(name).family in _WITH_EYES:
            eyes = list(seen.landmarks[:_MAX_FACES, :2].cpu().float() * factor)
        else:
            eyes = [torch.tensor(upright_eyes(one.tolist())) for one in boxes]
        return list(zip(boxes, scores, eyes, strict=True))

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


def upright_eyes(box: Sequence[float]) -> list[list[float]]:
    """Where the eyes of an upright face in a box are, about: ``[[x, y], [x, y]]``, left in the picture first."""
    left, top, right, bottom = box
    return [[left + x * (right - left), top + y * (bottom - top)] for x, y in _UPRIGHT]


def region_of(landmarks: NDArray[np.floating]) -> tuple[list[float], list[list[float]]]:
    """Box and eyes of ``(468, 2 or 3)`` landmarks, as :meth:`FaceFinder.follow` wants them."""
    flat = landmarks[:, :2]
    eyes = [flat[list(corners)].mean(0).tolist() for corners in _EYES]
    return [*flat.min(0).tolist(), *flat.max(0).tolist()], eyes


def _distinct(found: Sequence[Found]) -> list[Found]:
    """Faces first, the largest first, each once: two boxes may lead to the same landmarks. Of these the first
    detector's stays, so that landmarks do not jump from one detector's to the other's.
    """
    result: list[Found] = []
    for face in sorted(found, key=lambda one: not one.is_face):
        middle = face.landmarks[:, :2].mean(0)
        if all(
            np.linalg.norm(middle - other.landmarks[:, :2].mean(0)) > _ONE_FACE * max(face.span, other.span)
            for other in result
        ):
            result.append(face)
    return sorted(result, key=lambda one: (not one.is_face, -one.span))


def _tensor(pixels: NDArray[np.uint8], device: Any) -> Tensor:
    """``(1, 3, H, W)`` in [0, 1]."""
    return (
        torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        .to(device)
        .permute(2, 0, 1)[None]
        .float()
        / 255
    )
