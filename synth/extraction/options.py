"""How to extract faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provenance.errors import UsageError
from synth.extraction.canonical import LARGEST_SIZE, SMALLEST_SIZE
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.extraction.rules import Thresholds
from synth.extraction.tracking import HandBox

DEFAULT_SIZE = 256
ALIGN_BY = ("facemesh", "dlib68")


@dataclass(frozen=True)
class ExtractOptions:
    """How to extract.

    Attributes:
        size: side of the aligned pictures, 64 to 512 pixels.
        every: look at every n-th frame of a video.
        detectors: all of them are asked about each frame.
        align_by: ``facemesh``, or ``dlib68``: dlib's predictor of 68 landmarks, whose licence excludes commercial use.
        thresholds: of the rules.
        boxes: faces that a person drew a box around, where no detector finds one. Through a video they are followed.
        reference: a picture of the wanted person; without it, whom most faces show is wanted.
        device: where torch computes.
        weights_dir: a folder to look in for weights first.
    """

    size: int = DEFAULT_SIZE
    every: int = 1
    detectors: Sequence[str] = DEFAULT_DETECTORS
    align_by: str = "facemesh"
    thresholds: Thresholds = field(default_factory=Thresholds)
    boxes: Sequence[HandBox] = ()
    reference: Path | None = None
    device: str = "cpu"
    weights_dir: Path | None = None

    def check(self) -> None:
        """UsageError for values out of range."""
        if not SMALLEST_SIZE <= self.size <= LARGEST_SIZE:
            raise UsageError(f"size {self.size} is not between {SMALLEST_SIZE} and {LARGEST_SIZE}")
        if self.align_by not in ALIGN_BY:
            raise UsageError(
                f"faces cannot be aligned by {self.align_by[:40]!r}", hint=f"one of {', '.join(ALIGN_BY)}"
            )
        if self.every < 1:
            raise UsageError(f"every {self.every} frames cannot be looked at", hint="give 1 or more")
