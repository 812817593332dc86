"""Identity: push a face away from itself in face recognition (in the direction of Fawkes, Shan et al., USENIX
Security 2020, and LowKey, Cherepanova et al., ICLR 2021).

:class:`Recogniser` looks like a face detector that only reports faces it *recognises*: those whose embedding lies
within 0.6 of the uncloaked face's. So the search, its conditions, and the judging of the written file treat it as they
treat any detector, and a face that it no longer reports would be taken for somebody else. Unlike a detector, it knows
where the faces are and where their eyes, nose and mouth were before: whoever boxes the face by hand would, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack.objective import matches_faces
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.recognition.aligned_faces import align_faces
from cloak.recognition.network import SAME_PERSON, FaceRecognition

if TYPE_CHECKING:
    from cloak.attack.regions import Patch

#: A distance this much below or above the threshold counts as a logit of 1 or -1.
_TEMPERATURE = 0.1
#: How far alignment strays in a search, in face sizes (standard deviation): other programs find other landmarks.
_JITTER = 0.02
#: Eyes, nose and corners of the mouth in a detector's box, in shares of its width and height.
_BOX_LANDMARKS = torch.tensor([[0.31, 0.42], [0.69, 0.42], [0.5, 0.62], [0.35, 0.79], [0.65, 0.79]])


def identity_loss(
    embeddings: Tensor, reference: Tensor, *, distance: float = SAME_PERSON, margin: float = 0.1
) -> Tensor:
    """How far faces are from being somebody else: a hinge on the distance of embeddings, 0 once it is reached.

    Args:
        embeddings, reference: ``(N, 128)`` of the cloaked and of the uncloaked faces.
        distance: beyond which two faces count as two persons.
        margin: how much farther to go.

    Returns:
        The mean over the faces, in shares of ``distance``; 0 without faces.
    """
    if len(embeddings) == 0:
        return embeddings.sum()
    return functional.relu(distance + margin - embedding_distances(embeddings, reference)).mean() / distance


def embedding_distances(embeddings: Tensor, reference: Tensor) -> Tensor:
    """``(N,)`` Euclidean distances, with a finite gradient everywhere."""
    return ((embeddings - reference).square().sum(1) + 1e-12).sqrt()


class Recogniser(FaceDetector):
    """Face recognition that knows one picture's faces.

    Pictures shown to it must be that picture (or, after :meth:`for_patch`, that part of it), perhaps changed, at any
    size, or with rows and columns missing at the top and at the left.
    """

    name = "face-recognition"
    family = "recognition"
    threshold = 0.5

    def __init__(
        self,
        network: FaceRecognition,
        size: tuple[int, int],
        faces: Tensor,
        landmarks: Tensor,
        reference: Tensor,
        *,
        is_patch: bool = False,
        layout: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.size, self.is_patch, self.layout = network, size, is_patch, layout
        self.faces, self.points, self.reference = faces, landmarks, reference
        self._jitter = torch.Generator().manual_seed(0)

    @classmethod
    def of(
        cls,
        network: FaceRecognition,
        picture: Tensor,
        faces: Tensor,
        landmarks: Tensor,
        *,
        scale: float = 1.0,
        layout: str | None = None,
    ) -> Recogniser:
        """Made from the uncloaked picture, perhaps shrunk.

        Args:
            network: see there.
            picture: ``(1, 3, H, W)`` in [0, 1].
            faces: ``(N, 4)`` boxes in pixels of the picture before it was shrunk.
            landmarks: ``(N, K, 2)`` likewise, see :func:`cloak.recognition.aligned_faces.align_faces`, as is
                ``layout``.
            scale: how much it was shrunk.
        """
        with torch.no_grad():
            aligned = align_faces(picture, landmarks * scale, layout=layout, pictures_of=[0] * len(faces))
            reference = network.embed(aligned) if len(faces) else picture.new_zeros(0, 128)
        height, width = picture.shape[-2:]
        return cls(
            network, (round(height / scale), round(width / scale)), faces, landmarks, reference, layout=layout
        )

    def for_patch(self, patch: Patch) -> FaceDetector:
        """The same for a patch of the picture at its working size."""
        own_faces = [index for index in patch.faces if index < len(self.faces)]
        count = self.points.shape[1]
        points = patch.boxes(self.points[own_faces].reshape(-1, 2).repeat(1, 2))[:, :2].reshape(-1, count, 2)
        return Recogniser(
            self.network,
            (patch.height, patch.width),
            patch.boxes(self.faces[own_faces]),
            points,
            self.reference[own_faces],
            is_patch=True,
            layout=self.layout,
        )

    def distances(self, pictures: Tensor) -> Tensor:
        """``(B, N)``: how far each face is from itself in the uncloaked picture; differentiable."""
        check_pictures(pictures)
        scale, shift = self._display_transform(pictures.shape[-2:])
        rows = [
            embedding_distances(
                self._embedded(picture[None], (self.points - shift) * scale), self.reference.to(picture)
            )
            for picture in pictures
        ]
        return torch.stack(rows)

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        """The faces it recognises, with their boxes as they were."""
        scale, shift = self._display_transform(pictures.shape[-2:])
        boxes = ((self.faces - shift.repeat(2)) * scale).float()
        result = []
        for distances in self.distances(pictures):
            known = (distances < SAME_PERSON).cpu()
            scores = torch.sigmoid((SAME_PERSON - distances.cpu()[known]) / _TEMPERATURE)
            result.append(Detections(boxes[known].to(pictures.device), scores.float().to(pictures.device)))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per face; where ``focus`` begins with the faces' boxes in the pictures' pixels (as searches
        have it), it says where they are now. Landmarks stray a little, otherwise in each call.
        """
        check_pictures(pictures)
        result = []
        for index, picture in enumerate(pictures):
            scale, shift = self._display_transform(pictures.shape[-2:])
            if focus is not None and len(self.faces) <= len(focus[index]) and len(self.faces):
                scale, shift = _box_transform(self.faces, focus[index][: len(self.faces)].to(self.faces))
            points = (self.points - shift) * scale
            sizes = (self.faces[:, 2:] - self.faces[:, :2]).mean(1) * scale
            jitter = torch.randn(points.shape, generator=self._jitter) * _JITTER * sizes[:, None, None]
            distances = embedding_distances(
                self._embedded(picture[None], points + jitter), self.reference.to(picture)
            )
            boxes = (self.faces - shift.repeat(2)) * scale
            logits = (SAME_PERSON - distances) / _TEMPERATURE
            result.append(Candidates(boxes.to(logits), logits))
        return result

    def _embedded(self, picture: Tensor, points: Tensor) -> Tensor:
        if not len(points):
            return picture.new_zeros(0, 128) + picture.sum() * 0
        return self.network.embed(
            align_faces(picture, points, layout=self.layout, pictures_of=[0] * len(points))
        )

    def _display_transform(self, size: Sequence[int]) -> tuple[float, Tensor]:
        """Scale and cut of what is shown, told by its size. A whole picture is never cut. Of a patch, at most a
        quarter is cut off before it is perhaps halved.
        """
        (height, width), (full_height, full_width) = size, self.size
        if not self.is_patch:
            return (width / full_width + height / full_height) / 2, torch.zeros(2)
        scale = 1.0 if width > 0.6 * full_width or height > 0.6 * full_height else 0.5
        return scale, torch.tensor([full_width - width / scale, full_height - height / scale]).clamp_min(
            0
        ).round()


def landmarks_of(faces: Tensor, reports: Iterable[Detections]) -> Tensor:
    """``(N, 5, 2)`` eyes, nose and corners of the mouth of ``(N, 4)`` faces, from the first report that has them; of
    a face that no report has landmarks for, where a face in that box would have them.
    """
    width, height = faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1]
    points = faces[:, None, :2] + _BOX_LANDMARKS.to(faces) * torch.stack([width, height], 1)[:, None]
    for index in range(len(faces)):
        for report in reports:
            if report.landmarks is None or report.landmarks.shape[1] != 5 or not len(report):
                continue
            matching = matches_faces(report.boxes, faces[index : index + 1])[:, 0]
            if bool(matching.any()):
                points[index] = report.landmarks[matching.nonzero()[0, 0]].to(points)
                break
    return points


def recogniser_for(
    weights: Path | None, picture: Tensor, scale: float, faces: Tensor, reports: Mapping[str, Detections]
) -> Recogniser:
    """Knowing the faces of a picture.

    Args:
        weights: a folder with weights besides the installed ones.
        picture: ``(1, 3, H, W)``, perhaps shrunk by ``scale``.
        faces: ``(N, 4)`` in pixels of the picture before it was shrunk.
        reports: what detectors see in the shrunk picture.

    Raises:
        MissingModelError: the weights are missing.
    """
    network = FaceRecognition.load(weights, picture.device)
    points = landmarks_of(faces * scale, list(reports.values())) / scale
    return Recogniser.of(network, picture, faces, points, scale=scale)


def _box_transform(before: Tensor, after: Tensor) -> tuple[float, Tensor]:
    """Scale, and what was cut off before scaling, that take boxes to where they are now."""
    wide = before[:, 2:] - before[:, :2]
    scale = float((after[:, 2:] - after[:, :2]).sum() / wide.sum().clamp_min(1e-6))
    middle = ((before[:, :2] + before[:, 2:]) / 2).mean(0)
    now = ((after[:, :2] + after[:, 2:]) / 2).mean(0)
    return scale, middle - now / max(scale, 1e-6)
