"""RetinaFace and its two light relatives, by the weights of biubug6's Face-Detector-1MB-with-landmark.

Input as there: blue, green, red minus (104, 117, 123), not resized. Boxes and landmarks are corrections to
anchors with variances 0.1 and 0.2; suppression at an overlap of 0.4, both border pixels counted.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import suppress
from cloak.detectors.networks.retinaface import MobileNetRetina, Rfb, Slim, folded
from provenance.errors import MissingModelError, UsageError

_NETWORKS: dict[str, type[MobileNetRetina] | type[Slim]] = {
    "mobilenet": MobileNetRetina,
    "rfb": Rfb,
    "slim": Slim,
}
_MEAN = (104.0, 117.0, 123.0)
_VARIANCES = (0.1, 0.2)


class RetinaFace(FaceDetector):
    """``variant`` is "mobilenet", "rfb" or "slim"; ``threshold`` the least probability of a face, 0.6 in the
    original demo.
    """

    name = "retinaface"
    family = "retinaface"
    mean: Tensor

    def __init__(self, state: dict[str, Tensor], variant: str, *, threshold: float = 0.6) -> None:
        super().__init__()
        if variant not in _NETWORKS:
            raise UsageError(
                f"no RetinaFace is called {variant!r}", hint="the names are: " + ", ".join(_NETWORKS)
            )
        self.threshold = threshold
        self.limit = math.log(threshold / (1 - threshold))
        self.network = _NETWORKS[variant](folded(state))
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1))
        self.freeze()

    @classmethod
    def load(cls, weights_dir: Path | None = None, variant: str = "mobilenet") -> RetinaFace:
        """With weights that were downloaded or lie in ``weights_dir``.

        Raises:
            MissingModelError: they are missing or altered.
        """
        data = models.read(f"retinaface-{variant}", weights_dir)
        state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        if not isinstance(state, dict):
            raise MissingModelError(f"the weights retinaface-{variant} hold no named tensors")
        return cls(state, variant)

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        logits, boxes, landmarks = self._everywhere((pictures * 255.0).round())
        result = []
        for picture in range(len(pictures)):
            found = logits[picture] >= self.limit
            scores, mine = torch.sigmoid(logits[picture][found]), boxes[picture][found]
            kept = suppress(mine, scores, 0.4, pixel=1.0)
            result.append(Detections(mine[kept], scores[kept], landmarks[picture][found][kept]))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per anchor, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        logits, boxes, landmarks = self._everywhere(pictures * 255.0)
        return [
            Candidates(boxes[picture].detach(), logits[picture] - self.limit, landmarks[picture])
            for picture in range(len(pictures))
        ]

    def _everywhere(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``(B, M)``, boxes ``(B, M, 4)`` and landmarks ``(B, M, 5, 2)`` of all anchors, in pixels."""
        pictures = (values.flip(1) - self.mean).contiguous(memory_format=torch.channels_last)
        corrections, classes, points = self.network(pictures)
        centre, side = self._anchors(values)
        middle = centre + corrections[..., :2] * _VARIANCES[0] * side
        half = side * torch.exp(corrections[..., 2:] * _VARIANCES[1]) / 2
        landmarks = centre[:, None] + points.unflatten(-1, (5, 2)) * _VARIANCES[0] * side[:, None]
        return classes[..., 1] - classes[..., 0], torch.cat([middle - half, middle + half], dim=-1), landmarks

    def _anchors(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Centres ``(M, 2)`` and sides ``(M, 1)`` of all anchors in pixels."""
        height, width = values.shape[-2:]
        centres, sides = [], []
        for stride, lengths in zip(self.network.strides, self.network.anchors, strict=True):
            rows, columns = math.ceil(height / stride), math.ceil(width / stride)
            y = (torch.arange(rows, device=values.device, dtype=values.dtype) + 0.5) * stride
            x = (torch.arange(columns, device=values.device, dtype=values.dtype) + 0.5) * stride
            grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 1, 2)
            centres.append(grid.expand(-1, len(lengths), -1).reshape(-1, 2))
            sides.append(values.new_tensor(lengths).repeat(rows * columns))
        return torch.cat(centres), torch.cat(sides)[:, None]
