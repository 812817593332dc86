"""The result of a fake detector: a score, or the reason for none, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The detectors in the order in which they are shown, and what each looks for.
DETECTORS = {
    "blink": "eyes that close too rarely, too often, or for too long",
    "pulse": "skin without a pulse that is the same everywhere, and frames that do not follow each other",
    "lips": "a mouth that moves or looks as no mouth of its own face would",
    "warp": "a face that was warped into place from another resolution",
    "blend": "a face that was blended into the picture",
    "splice": "parts of the picture with another processing history",
}

#: Detectors whose scores do not vary where cloaks are compared, and so are no measure of what a cloak does, with why.
NO_MEASURES = {
    "warp": "at its ceiling on our swaps (0.85 to 1.00) and at its floor on our lip-syncs (0.03), cloaked or not",
    "splice": "the same of every fake (0.50)",
    "pulse": "judges no clip under four seconds, and hardly any other",
    "lips": "judges no clip under three seconds, and was taught by our own lip-syncs",
    "blink": "judges no clip under four seconds, and fakes keep the eyes of their footage",
}


@dataclass(frozen=True)
class Line:
    """A curve: ``y`` over ``x``; NaN leaves a gap."""

    name: str
    x: NDArray[np.floating] | Sequence[float]
    y: NDArray[np.floating] | Sequence[float]


@dataclass(frozen=True)
class Plot:
    """Curves with common axes; ``marks`` are upright lines at these x, ``bands`` are shaded from one x to another."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    marks: tuple[float, ...] = ()
    bands: tuple[tuple[float, float], ...] = ()


@dataclass
class Finding:
    """One detector's result.

    Attributes:
        score: 0 (no sign of a fake) to 1; None where it could not judge.
        reason: why it could not judge; empty where it did.
        saw: measured values by name, in the units of docs/research/detect.md.
        sentence: the same in words.
        plots: curves.
        pictures: maps, uint8 ``(H, W, 3)`` RGB by name.
    """

    score: float | None
    reason: str = ""
    saw: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""
    plots: list[Plot] = field(default_factory=list)
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def cannot(cls, reason: str, **saw: Any) -> Finding:
        """A finding without a score."""
        return cls(None, reason, saw)


def bounded(value: float) -> float:
    """Clip a score to [0, 1]; NaN and infinities become 0.5."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.5


def logistic(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    return 1 / (1 + math.exp(-min(60.0, max(-60.0, value))))
