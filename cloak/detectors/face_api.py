"""The two face detectors of face-api.js, which web pages and Node.js programs run: a small YOLO and an SSD.

Both pad the picture with black at its right or lower side to a square and shrink that to their own input: 416 pixels
("tiny", a YOLOv2 of separable convolutions; Redmon and Farhadi, 2017) or 512 ("ssd", MobileNet v1; Liu et al., 2016,
and Howard et al., 2017). Follows @vladmandic/face-api 1.7.15. Its pictures come from a browser's canvas, whose
shrinking differs from browser to browser; here it is bilinear with the filter widened to the reduction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import suppress
from cloak.detectors.networks.face_api import SsdMobileNet, TinyYolo
from cloak.detectors.readers.tfjs import read_weights
from provenance.errors import UsageError


class FaceApi(FaceDetector):
    """``variant`` is "tiny" or "ssd". Neither gives landmarks."""

    name = "face-api"
    family = "face-api"

    def __init__(self, network: TinyYolo | SsdMobileNet, *, threshold: float = 0.5) -> None:
        super().__init__()
        self.family = network.family  # type: ignore[misc]
        self.side, self.threshold, self.overlap = network.side, threshold, network.overlap
        self.limit = math.log(threshold / (1 - threshold))
        self.network = network
        self.freeze()

    @classmethod
    def load(cls, weights_dir: Path | None = None, variant: str = "tiny") -> FaceApi:
        """With the weights on this machine.

        Raises:
            MissingModelError: they are missing or altered.
        """
        makers: dict[str, type[TinyYolo | SsdMobileNet]] = {"tiny": TinyYolo, "ssd": SsdMobileNet}
        if variant not in makers:
            raise UsageError(f"face-api has no {variant!r}", hint="the names are: " + ", ".join(makers))
        manifest, values = (
            models.read(f"face-api-{variant}-{part}", weights_dir) for part in ("manifest", "weights")
        )
        return cls(makers[variant](read_weights(manifest, values)))

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        logits, boxes = self._everywhere((pictures * 255.0).round())
        result = []
        for picture in range(len(pictures)):
            scores = torch.sigmoid(logits[picture])
            found = scores > self.threshold
            kept = suppress(boxes[picture][found], scores[found], self.overlap)
            result.append(Detections(boxes[picture][found][kept], scores[found][kept]))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per anchor, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        logits, boxes = self._everywhere(pictures * 255.0)
        return [
            Candidates(boxes[picture].detach(), logits[picture] - self.limit)
            for picture in range(len(pictures))
        ]

    def _everywhere(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, M)`` and boxes ``(B, M, 4)`` of all anchors, in pixels of the picture."""
        height, width = values.shape[-2:]
        longest = max(height, width)
        square = pad(values, (0, longest - width, 0, longest - height))
        if longest != self.side:
            square = interpolate(square, size=(self.side, self.side), mode="bilinear", antialias=True)
        logits, shares = self.network(square)
        return logits, shares * longest
