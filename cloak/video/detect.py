"""Asking detectors about places that are known, where that is much cheaper than asking about whole frames.

dlib's convolutional detector takes 3 to 10 s of one core to look at a frame of half a megapixel to a whole one. The
same network, asked about the surroundings of a face alone, gives the same answer about that face in a thirtieth of the
time (see :meth:`cloak.detectors.mmod.DlibCnn.detect_near`). In a film it is asked in that way everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from cloak.attack.regions import merge_faces
from cloak.detectors.base import Candidates, Detections, FaceDetector
from cloak.evaluate.judge import detect_pixels, to_tensor

if TYPE_CHECKING:
    from cloak.video.window import Window


@runtime_checkable
class LocalDetector(Protocol):
    """A detector that can be asked about places."""

    def detect_near(self, pictures: Tensor, places: Tensor) -> list[Detections]: ...


def detect_near(
    detector: FaceDetector, pixels: np.ndarray, places: Tensor, device: str = "cpu"
) -> Detections:
    """What a detector reports for a picture; of one that can be asked about places, what it reports about these.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        places: ``(N, 4)`` in its pixels.
    """
    if not isinstance(detector, LocalDetector):
        return detect_pixels(detector, pixels, device)
    report = detector.detect_near(to_tensor(pixels, device), places)[0]
    return Detections(report.boxes.cpu(), report.scores.cpu())


def detect_in_frame(
    detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str = "cpu"
) -> dict[str, Detections]:
    """What each detector reports for a picture whose faces nobody knows; those that can be asked about places are asked
    about what the others report, unless there are no others.
    """
    global_detectors = [one for one in detectors if not isinstance(one, LocalDetector)] or list(detectors)
    reports = {one.name: detect_pixels(one, pixels, device) for one in global_detectors}
    faces = merge_faces(list(reports.values()))
    for one in detectors:
        if one.name not in reports:
            reports[one.name] = detect_near(one, pixels, faces, device)
    return reports


class WindowDetector(FaceDetector):
    """A detector that is only asked about the face, or the decoy, of a window.

    Pictures shown to :meth:`detect` are the window's patch, perhaps without a few rows and columns at the top and at
    the left, perhaps shrunk to about half.
    """

    def __init__(self, detector: FaceDetector, window: Window) -> None:
        super().__init__()
        self.name, self.family = detector.name, detector.family  # type: ignore[misc]
        self.threshold = detector.threshold
        self._detector, self._work, self._place = detector, window.place.work, window.place.face

    def detect(self, pictures: Tensor) -> list[Detections]:
        if not isinstance(self._detector, LocalDetector):
            return self._detector.detect(pictures)
        shown = pictures.shape[-2:]
        scale = 1.0 if any(now > 0.6 * full for now, full in zip(shown, self._work, strict=True)) else 0.5
        top, left = (max(0.0, full - now / scale) for now, full in zip(shown, self._work, strict=True))
        place = (self._place - self._place.new_tensor([left, top, left, top])) * scale
        return self._detector.detect_near(pictures, place)

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        return self._detector.candidates(pictures, focus)


def window_detectors(detectors: Sequence[FaceDetector], window: Window) -> list[FaceDetector]:
    """The detectors as the search of a window asks them."""
    return [WindowDetector(one, window) if isinstance(one, LocalDetector) else one for one in detectors]
