"""Identity: push a face away from itself in face recognition (in the direction of Fawkes, Shan et al., USENIX
Security 2020, and LowKey, Cherepanova et al., ICLR 2021).

:class:`Recogniser` looks like a face detector that only reports faces it *recognises*: those whose embedding lies
within 0.6 of the uncloaked face's. So the search, its conditions, and the judging of the written file treat it as they
treat any detector, and a face that it no longer reports would be taken for somebody else. Unlike a detector, it knows
where the faces are and where their eyes, nose and mouth were before: whoever boxes the face by hand would, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.matching import matches_faces
from cloak.detectors.geometry.patch import Patch
from cloak.detectors.geometry.rendering import Affine, Rendering

#: A distance this share of the threshold below or above it counts as a logit of 1 or -1.
_TEMPERATURE = 1 / 6
#: How far alignment strays in a search, in face sizes (standard deviation): other programs find other landmarks.
_JITTER = 0.02
#: Eyes, nose and corners of the mouth in a detector's box, in shares of its width and height.
_BOX_LANDMARKS = torch.tensor([[0.31, 0.42], [0.69, 0.42], [0.5, 0.62], [0.35, 0.79], [0.65, 0.79]])


def embedding_distances(embeddings: Tensor, reference: Tensor) -> Tensor:
    """``(N,)`` Euclidean distances, with a finite gradient everywhere."""
    return ((embeddings - reference).square().sum(1) + 1e-12).sqrt()


class Encoder(Protocol):
    """What tells people apart: dlib's network or one of :mod:`cloak.recognition.encoders`.

    Attributes:
        name: what reports call it.
        dimension: of its embeddings.
        same_person: the Euclidean distance of embeddings below which two faces count as one person.
    """

    name: str
    dimension: int
    same_person: float

    def align(
        self,
        pictures: Tensor,
        landmarks: Tensor,
        *,
        layout: str | None = None,
        pictures_of: Sequence[int] | None = None,
    ) -> Tensor:
        """Faces cut out as this encoder wants them."""

    def embed(self, faces: Tensor) -> Tensor:
        """``(N, dimension)`` embeddings of aligned faces; differentiable."""


class Recogniser(FaceDetector):
    """Face recognition that knows one picture's faces.

    It is shown that picture, perhaps changed, at any size; or, after :meth:`for_patch` and :meth:`for_rendering`, a
    rendering of one of its patches.

    Args:
        network: of face recognition.
        size: height and width of the picture in pixels.
        faces: ``(N, 4)`` boxes in pixels of the picture, or of the patch.
        landmarks: ``(N, K, 2)`` likewise.
        reference: ``(N, 128)`` embeddings of the uncloaked faces.
        affine: from pixels of the patch to those that it is shown; None for whole pictures, whose size says it.
        layout: of the landmarks, see :func:`cloak.recognition.aligned_faces.align_faces`.
        jitter: draws how far landmarks stray in a search.
    """

    name = "face-recognition"
    family = "recognition"
    threshold = 0.5

    def __init__(
        self,
        network: Encoder,
        size: tuple[int, int],
        faces: Tensor,
        landmarks: Tensor,
        reference: Tensor,
        *,
        affine: Affine | None = None,
        layout: str | None = None,
        jitter: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.network, self.size, self.affine, self.layout = network, size, affine, layout
        self.name = network.name  # type: ignore[misc]
        self.faces, self.points, self.reference = faces, landmarks, reference
        self._jitter = torch.Generator().manual_seed(0) if jitter is None else jitter

    @classmethod
    def of(
        cls,
        network: Encoder,
        picture: Tensor,
        faces: Tensor,
        landmarks: Tensor,
        *,
        scale: float = 1.0,
        layout: str | None = None,
        is_patch: bool = False,
    ) -> Recogniser:
        """Made from the uncloaked picture, perhaps shrunk.

        Args:
            network: of face recognition.
            picture: ``(1, 3, H, W)`` in [0, 1].
            faces: ``(N, 4)`` boxes in pixels of the picture before it was shrunk.
            landmarks: ``(N, K, 2)`` likewise.
            scale: how much it was shrunk.
            layout: of the landmarks.
            is_patch: the picture is a patch, of which renderings will be shown.
        """
        with torch.no_grad():
            aligned = network.align(picture, landmarks * scale, layout=layout, pictures_of=[0] * len(faces))
            reference = network.embed(aligned) if len(faces) else picture.new_zeros(0, network.dimension)
        height, width = picture.shape[-2:]
        size = (round(height / scale), round(width / scale))
        affine = Affine() if is_patch else None
        return cls(network, size, faces, landmarks, reference, affine=affine, layout=layout)

    def for_patch(self, patch: Patch) -> FaceDetector:
        """The same for a patch of the picture at its working size."""
        own = [index for index in patch.faces if index < len(self.faces)]
        count = self.points.shape[1]
        points = patch.boxes(self.points[own].reshape(-1, 2).repeat(1, 2))[:, :2].reshape(-1, count, 2)
        return Recogniser(
            self.network,
            (patch.height, patch.width),
            patch.boxes(self.faces[own]),
            points,
            self.reference[own],
            affine=Affine(),
            layout=self.layout,
        )

    def for_rendering(self, rendering: Rendering) -> FaceDetector:
        """The same for a rendering of its patch."""
        return Recogniser(
            self.network,
            self.size,
            self.faces,
            self.points,
            self.reference,
            affine=rendering.affine,
            layout=self.layout,
            jitter=self._jitter,
        )

    def distances(self, pictures: Tensor) -> Tensor:
        """``(B, N)``: how far each face is from itself in the uncloaked picture; differentiable."""
        check_pictures(pictures)
        points = self._shown_at(pictures).points(self.points)
        rows = [
            embedding_distances(self._embedded(picture[None], points), self.reference.to(picture))
            for picture in pictures
        ]
        return torch.stack(rows)

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        """The faces it recognises, with their boxes as they were."""
        boxes = self._shown_at(pictures).boxes(self.faces).float()
        result = []
        for distances in self.distances(pictures):
            known = (distances < self.network.same_person).cpu()
            scores = torch.sigmoid(self._logits(distances.cpu()[known]))
            result.append(Detections(boxes[known].to(pictures.device), scores.float().to(pictures.device)))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per face; ``focus`` is not needed. Landmarks stray a little, otherwise in each call."""
        check_pictures(pictures)
        affine, result = self._shown_at(pictures), []
        points, boxes = affine.points(self.points), affine.boxes(self.faces)
        sizes = (boxes[:, 2:] - boxes[:, :2]).mean(1)
        for picture in pictures:
            jitter = torch.randn(points.shape, generator=self._jitter) * _JITTER * sizes[:, None, None]
            embedded = self._embedded(picture[None], points + jitter)
            distances = embedding_distances(embedded, self.reference.to(picture))
            logits = self._logits(distances)
            result.append(Candidates(boxes.to(logits), logits))
        return result

    def _logits(self, distances: Tensor) -> Tensor:
        return (1 - distances / self.network.same_person) / _TEMPERATURE

    def _embedded(self, picture: Tensor, points: Tensor) -> Tensor:
        if not len(points):
            return picture.new_zeros(0, self.network.dimension) + picture.sum() * 0
        return self.network.embed(
            self.network.align(picture, points, layout=self.layout, pictures_of=[0] * len(points))
        )

    def _shown_at(self, pictures: Tensor) -> Affine:
        """Where it is shown; a whole picture is never cut, so that its size says how much it was scaled."""
        if self.affine is not None:
            return self.affine
        scale = (pictures.shape[-1] / self.size[1] + pictures.shape[-2] / self.size[0]) / 2
        return Affine((scale, scale))


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
    network: Encoder, picture: Tensor, scale: float, faces: Tensor, reports: Mapping[str, Detections]
) -> Recogniser:
    """Face recognition that knows the faces of an uncloaked picture or frame.

    Args:
        network: tells people apart.
        picture: ``(1, 3, H, W)`` in [0, 1], perhaps shrunk by ``scale``.
        scale: see there.
        faces: ``(N, 4)`` in pixels of the picture before it was shrunk.
        reports: by name, what detectors see in the shrunk picture.
    """
    points = landmarks_of(faces * scale, list(reports.values())) / scale
    return Recogniser.of(network, picture, faces, points, scale=scale)
