"""What every face detector looks like from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cloak.detectors.geometry.patch import Patch
from cloak.detectors.geometry.rendering import Rendering
from provenance.errors import UsageError


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
            0 means "would be reported (before non-maximum suppression)", or, for an earlier stage of a
            cascade, "would be handed to the next stage".
        landmarks: ``(M, K, 2)`` in pixels, differentiable, or None. Rows of earlier stages are NaN: index
            with :attr:`final_stage` first.
        stages: ``(M,)`` int64, the stage of a cascade that each entry belongs to, or None for a detector
            that has a single stage. A face is hidden from a cascade as soon as every entry of any one stage
            is below 0 around it; a decoy needs an entry above 0 in each.
        last_stage: the stage whose entries are reported as faces.
    """

    boxes: Tensor
    logits: Tensor
    landmarks: Tensor | None = None
    stages: Tensor | None = None
    last_stage: int = 0

    def __len__(self) -> int:
        return int(self.boxes.shape[0])

    @property
    def final_stage(self) -> Tensor:
        """``(M,)`` bool: entries whose positive logit alone makes the detector report a face."""
        if self.stages is None:
            return torch.ones_like(self.logits, dtype=torch.bool)
        return self.stages == self.last_stage

    def select(self, selection: Tensor) -> Candidates:
        """The entries that a bool mask or an index ``(M,)`` selects; gradients are kept."""
        return Candidates(
            boxes=self.boxes[selection],
            logits=self.logits[selection],
            landmarks=None if self.landmarks is None else self.landmarks[selection],
            stages=None if self.stages is None else self.stages[selection],
            last_stage=self.last_stage,
        )


class FaceDetector(nn.Module, ABC):
    """A face detector as a differentiable torch module.

    Input everywhere: ``(B, 3, H, W)`` float32 RGB in [0, 1]; resizing, mean, scale, channel order, padding,
    anchors and thresholds are inside. Parameters are frozen and the module is in eval mode.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    threshold: float

    def __init__(self) -> None:
        super().__init__()

    def freeze(self) -> FaceDetector:
        """Eval mode, no gradients for parameters, convolution weights in the order that is fastest."""
        self.eval()
        for weight in (*self.parameters(), *self.buffers()):
            weight.requires_grad_(False)
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return self

    @abstractmethod
    def detect(self, pictures: Tensor) -> list[Detections]:
        """The original's result: its thresholds, its non-maximum suppression. One entry per picture."""

    @abstractmethod
    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """All candidates with gradients, for attacks. One entry per picture.

        Args:
            pictures: ``(B, 3, H, W)`` RGB in [0, 1].
            focus: for each picture ``(F, 4)`` boxes of places that matter to the caller: faces to keep
                hidden, decoys to raise. A cascade only looks closely where its first stage sees something,
                so without focus it has nothing to say about the other places; detectors that look
                everywhere ignore it.
        """

    def for_patch(self, patch: Patch) -> FaceDetector:
        """The detector that a patch of the picture, at its working size, is shown to.

        Most detectors are the same everywhere. One that knows the faces of its picture returns one that knows those of
        the patch.
        """
        return self

    def for_rendering(self, rendering: Rendering) -> FaceDetector:
        """The detector that a rendering of its patch is shown to.

        Most detectors are the same for all renderings. One that knows where the faces are in each frame of a video, or
        in the patch, returns one that knows where they are in the rendering.
        """
        return self


def check_pictures(pictures: Tensor) -> None:
    """Raise :class:`UsageError` unless ``pictures`` is a ``(B, 3, H, W)`` floating-point batch."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise UsageError(
            f"found pictures of shape {tuple(pictures.shape)} and type {pictures.dtype}, "
            "expected a floating-point (B, 3, H, W)",
            hint="divide uint8 pixels by 255 and put the channels first",
        )
    if min(pictures.shape) < 1:
        raise UsageError(f"found an empty picture batch of shape {tuple(pictures.shape)}")
