"""How much a made face flickers: what differs between frames after the filmed movement is taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 192
_Shown = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True)
class Flicker:
    """Mean absolute difference of neighbouring frames on the face, levels of 255, after optical flow.

    Attributes:
        made: of the result.
        filmed: of the footage itself: noise, light, and what the flow misses.
    """

    made: float
    filmed: float

    @property
    def added(self) -> float:
        """What the swap added."""
        return self.made - self.filmed


class FlickerMeter:
    """Fed with frame after frame; the optical flow (DIS: Kroeger et al., ECCV 2016) is the footage's."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: _Shown | None = None
        self._made: list[float] = []
        self._filmed: list[float] = []

    def skip(self) -> None:
        """A frame without a face: the next one is compared with nothing."""
        self._before = None

    def add(self, filmed: NDArray[np.uint8], made: NDArray[np.uint8], mask: NDArray[np.float32]) -> None:
        """The next frame.

        Args:
            filmed, made: ``(H, W, 3)`` uint8 RGB, whole frames.
            mask: ``(H, W)`` in [0, 1], where the face is.
        """
        now = (filmed, made, mask)
        if self._before is not None and self._before[2].shape == mask.shape:
            self._compare(self._before, now)
        self._before = now

    def _compare(self, before: _Shown, now: _Shown) -> None:
        box = _box(np.maximum(before[2], now[2]))
        if box is None:
            return
        past, present = ([_small(one[box]) for one in shown] for shown in (before, now))
        grey = [cv2.cvtColor(one[0], cv2.COLOR_RGB2GRAY) for one in (present, past)]
        flow: Any = self._flow.calc(grey[0], grey[1], None)  # type: ignore[call-overload]
        rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
        places = (columns + flow[..., 0], rows + flow[..., 1])
        weight = present[2] * cv2.remap(past[2], *places, cv2.INTER_LINEAR)
        total = float(weight.sum())
        if total <= 1:
            return
        for index, found in ((0, self._filmed), (1, self._made)):
            came = cv2.remap(past[index], *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            gap = np.abs(present[index].astype(np.float32) - came).mean(-1)
            found.append(float((gap * weight).sum() / total))

    def result(self) -> Flicker | None:
        """None while fewer than two frames in a row had a face."""
        if not self._made:
            return None
        return Flicker(float(np.mean(self._made)), float(np.mean(self._filmed)))


def _box(mask: NDArray[np.float32]) -> tuple[slice, slice] | None:
    """The mask's box with a margin of a tenth, on which flow is found more easily."""
    rows, columns = np.flatnonzero(mask.max(1) > 0.05), np.flatnonzero(mask.max(0) > 0.05)
    if len(rows) < 8 or len(columns) < 8:
        return None
    margin = max(len(rows), len(columns)) // 10
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _small(part: Any) -> Any:
    """At most :data:`_SIDE` pixels wide or high."""
    scale = _SIDE / max(part.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(part)
    size = (max(12, round(part.shape[1] * scale)), max(12, round(part.shape[0] * scale)))
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA)
