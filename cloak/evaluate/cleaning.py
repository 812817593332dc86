"""What comes back when somebody cleans the cloaked picture: filters that take grain and noise away, and detail too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from torch import Tensor

from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.detect import detect_pixels
from cloak.parallel import map_parallel
from cloak.pixels import display_picture


def _blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma))


#: By name: the filter, on uint8 ``(H, W, 3)`` as detectors are shown it.
CLEANINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blur1": _blurred(1.0),
    "blur2": _blurred(2.0),
    "median3": lambda pixels: np.asarray(cv2.medianBlur(np.ascontiguousarray(pixels), 3)),
}
#: So many detectors are named.
_FEW = 4
#: How they are called in words.
CLEANING_NAMES = {
    "blur1": "a Gaussian blur of 1 pixel",
    "blur2": "one of 2 pixels",
    "median3": "a median filter of 3 pixels",
}


def found_after_cleaning(
    detectors: Sequence[FaceDetector],
    pixels: np.ndarray,
    faces: Tensor,
    before: dict[str, Detections],
    device: str,
) -> dict[str, dict[str, int]]:
    """By detector and filter: how many faces it finds in the cleaned picture, of those that it found before the cloak.

    Args:
        detectors: to ask.
        pixels: uint8 ``(H, W, 3)``, the cloaked picture, decoded.
        faces: ``(N, 4)`` the faces to hide, in pixels of the picture.
        before: by name, what each detector reported for the uncloaked picture as it is shown.
    """
    displayed = display_picture(pixels)
    places = faces * displayed.scale
    cleaned = {name: clean(displayed.pixels) for name, clean in CLEANINGS.items()}

    def counts(detector: FaceDetector) -> dict[str, int]:
        known = faces_found(before[detector.name], places)
        if not bool(known.any()):
            return dict.fromkeys(cleaned, 0)
        return {
            name: int((faces_found(detect_pixels(detector, shown, device), places) & known).sum())
            for name, shown in cleaned.items()
        }

    answers = map_parallel(counts, detectors, device=device)
    return {detector.name: answer for detector, answer in zip(detectors, answers, strict=True)}


def cleaning_line(found: dict[str, dict[str, int]], before: dict[str, int]) -> str:
    """For a person: how many detectors find a face again after each filter.

    Args:
        found: from :func:`found_after_cleaning`.
        before: by detector, how many faces it found before the cloak.
    """
    asked = [name for name in found if before[name]]
    parts = []
    for cleaning, words in CLEANING_NAMES.items():
        finding = [name for name in asked if found[name][cleaning]]
        named = f" ({', '.join(finding)})" if 0 < len(finding) <= _FEW else ""
        parts.append(f"after {words} {len(finding)}{named}")
    return (
        f"Somebody can clean the picture, at the price of its detail. Of {len(asked)} detectors that found a face "
        f"before, these then find one: {'; '.join(parts)}"
    )
