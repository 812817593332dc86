"""RetinaFace and its two light relatives, by the weights of biubug6's Face-Detector-1MB-with-landmark.

Input as there: blue, green, red minus (104, 117, 123), not resized. Boxes and landmarks are corrections to
anchors with variances 0.1 and 0.2; suppression at an overlap of 0.4, both border pixels counted.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from torch import Tensor

from cloak import models
from cloak.detectors.networks.retinaface import MobileNetRetina, Rfb, Slim, folded
from cloak.detectors.priors import PriorDetector, decode_boxes, decode_landmarks
from provenance.errors import MissingModelError, UsageError

_NETWORKS: dict[str, type[MobileNetRetina] | type[Slim]] = {
    "mobilenet": MobileNetRetina,
    "rfb": Rfb,
    "slim": Slim,
}


class RetinaFace(PriorDetector):
    """``variant`` is "mobilenet", "rfb" or "slim"; ``threshold`` the least probability of a face, 0.6 in the
    original demo.
    """

    name = "retinaface"
    family = "retinaface"
    overlap = 0.4
    inclusive = True
    network: MobileNetRetina | Slim

    def __init__(self, state: dict[str, Tensor], variant: str, *, threshold: float = 0.6) -> None:
        if variant not in _NETWORKS:
            raise UsageError(
                f"no RetinaFace is called {variant!r}", hint="the names are: " + ", ".join(_NETWORKS)
            )
        super().__init__(_NETWORKS[variant](folded(state)), threshold)

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

    def _everywhere(self, values: Tensor, *, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
        pictures = self._input(values).contiguous(memory_format=torch.channels_last)
        corrections, classes, points = self.network(pictures)
        centre, side = self._anchors(values)
        landmarks = decode_landmarks(points, centre, side)
        return classes[..., 1] - classes[..., 0], decode_boxes(corrections, centre, side), landmarks

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
