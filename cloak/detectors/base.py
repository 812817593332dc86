"""What every face detector looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Detections:
    """What a detector reports for one picture, best first.

    Attributes:
        boxes: ``(N, 4)`` float32, ``x1 y1 x2 y2`` in pixels of the input picture.
        scores: ``(N,)`` float32, in [0, 1].
        landmarks: ``(N, K, 2)`` float32 in pixels, or None where the detector has none.
    """

    boxes: Tensor
    scores: Tensor
    landmarks: Tensor | None = None

    def __len__(self) -> int:
        return int(self.boxes.shape[0])


@dataclass(frozen=True)
class Candidates:
    """Everything a detector considered for one picture, differentiable in the pixels.

    Attributes:
        boxes: ``(M, 4)`` ``x1 y1 x2 y2`` in pixels; no gradient.
        logits: ``(M,)`` face logits minus the logit of the detector's own threshold, so that a value above
            0 means "would be reported (before non-maximum suppression)".
        landmarks: ``(M, K, 2)`` in pixels, differentiable, or None.
    """

    boxes: Tensor
    logits: Tensor
    landmarks: Tensor | None = None


class FaceDetector(nn.Module):
    """A face detector as a differentiable torch module.

    Input everywhere: ``(B, 3, H, W)`` float32 RGB in [0, 1]; resizing, mean, scale, channel order, padding,
    anchors and thresholds are inside. Parameters are frozen and the module is in eval mode.
    """

    name: ClassVar[str]
    family: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()

    def freeze(self) -> FaceDetector:
        """Eval mode, no gradients for parameters."""
        self.eval()
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        return self

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        """The original's result: its thresholds, its non-maximum suppression. One entry per picture."""
        raise NotImplementedError

    def candidates(self, pictures: Tensor) -> list[Candidates]:
        """All candidates with gradients, for attacks. One entry per picture."""
        raise NotImplementedError
