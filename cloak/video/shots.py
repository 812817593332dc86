"""Where one shot of a video ends and another begins."""

from __future__ import annotations

from collections import deque

import numpy as np

#: Width of the small grey frames that are compared.
SMALL_WIDTH = 64
_MIN_CHANGE = 18.0
_CHANGE_RATIO = 3.5
_BINS = 32
_MIN_HISTOGRAM_CHANGE = 0.25
_HISTORY = 12


class ShotDetector:
    """Told one small grey frame after another, says which begin a new shot.

    A cut changes most pixels at once, by far more than the frames before changed, and changes the histogram too: fast
    movement changes pixels alone, a flash changes the histogram but comes back.
    """

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None
        self._usual: deque[float] = deque(maxlen=_HISTORY)

    def begins_shot(self, luma: np.ndarray) -> bool:
        """Does this frame, uint8 ``(h, w)``, begin a shot? The first one does."""
        previous, self._previous = self._previous, luma
        if previous is None:
            return True
        change = float(np.abs(luma.astype(np.int16) - previous).mean())
        usual = float(np.median(self._usual)) if self._usual else 0.0
        cut = (
            change >= _MIN_CHANGE
            and change >= _CHANGE_RATIO * usual
            and _histogram_change(previous, luma) >= _MIN_HISTOGRAM_CHANGE
        )
        if cut:
            self._usual.clear()
        else:
            self._usual.append(change)
        return cut


def _histogram_change(first: np.ndarray, second: np.ndarray) -> float:
    """How much of the histogram lies elsewhere, in [0, 1]."""
    a, b = (np.histogram(one, bins=_BINS, range=(0, 256))[0] / one.size for one in (first, second))
    return float(np.abs(a - b).sum() / 2)
