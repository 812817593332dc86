"""Is the pulse estimate real? Footage into whose skin a pulse of known rate and size is put.

The pulse multiplies the pixels of the face by ``1 + a * w * sin(2 pi f t)``. ``a`` is the amplitude in the green
channel; ``w`` are the relative strengths of red, green and blue under white light: 0.33, 0.77, 0.53 (de Haan and van
Leest, Physiological Measurement 35, 2014), here divided by 0.77. Eyes and mouth pulse too: only
regions of skin are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.detect.observe import FrameSource, ObservedFace
from synth.extraction.footage import RawFrame

_STRENGTHS = np.array([0.33, 0.77, 0.53]) / 0.77
LARGEST = 0.1


class Pulsing:
    """Footage with a pulse in the face that was observed in it.

    Args:
        footage: the real footage.
        observed: the same footage, observed.
        hertz: of the pulse.
        amplitude: in the green channel: 0.005 is 0.5 %; at most 10 %.

    Raises:
        UsageError: an amplitude or a rate out of bounds.
    """

    def __init__(
        self, footage: FrameSource, observed: ObservedFace, hertz: float, amplitude: float = 0.005
    ) -> None:
        if not (0 <= amplitude <= LARGEST and 0 < hertz < 10):
            raise UsageError(f"a pulse of {hertz:g} Hz and {amplitude:g} is out of bounds")
        self._footage, self._watched = footage, observed
        self._hertz, self._amplitude = hertz, amplitude

    @property
    def path(self) -> Path:
        return self._footage.path

    @property
    def kind(self) -> str:
        return self._footage.kind

    @property
    def expected(self) -> int:
        return self._footage.expected

    def frames(self, wanted: Callable[[int], bool]) -> Iterator[RawFrame]:
        """As the footage's, with the pulse; frames without a face are as they were."""
        for raw in self._footage.frames(wanted):
            points = self._watched.landmarks[raw.index] if raw.index < len(self._watched.landmarks) else None
            if points is None or np.isnan(points[0, 0]):
                yield raw
            else:
                yield RawFrame(raw.index, raw.time, self._pulsed(raw.pixels, points[:, :2], raw.time))

    def _pulsed(
        self, pixels: NDArray[np.uint8], points: NDArray[np.floating], time: float
    ) -> NDArray[np.uint8]:
        mask = np.zeros(pixels.shape[:2], np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
        soft = cv2.GaussianBlur(mask, (0, 0), 3)
        change = self._amplitude * math.sin(2 * math.pi * self._hertz * time)
        factor = 1 + soft[..., None] * (change * _STRENGTHS).astype(np.float32)
        return np.asarray(np.clip(np.rint(pixels * factor), 0, 255), np.uint8)
