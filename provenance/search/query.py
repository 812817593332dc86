"""The picture that is asked about: its features, read when first needed, as it is, mirrored and unstretched."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from provenance.fingerprint.bars import find_bars
from provenance.fingerprint.features import LocalFeatures, at_working_size, extract_features
from provenance.fingerprint.pdq import pdq_variants
from provenance.fingerprint.picture import PictureFingerprint

#: So many points are read from the file asked about; a crop or screenshot leaves fewer of them in the original.
QUERY_POINTS = 1000
#: Less of a stretch is borne by features as they are; more is not made undone.
_LEAST_STRETCH, _MOST_STRETCH = 1.04, 2.5
#: Stretches this near to each other, as a factor, are undone alike.
_STEP = 1.04


class Query:
    """Features of a ``(h, w)`` uint8 grey picture at working size."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self._grey = grey
        self._features: dict[tuple[bool, int], LocalFeatures] = {}

    def both(self) -> dict[bool, LocalFeatures]:
        """As it is (False) and mirrored (True)."""
        with ThreadPoolExecutor(2, "veilmark") as pool:
            upright, mirrored = pool.map(self.features, (False, True))
        return {False: upright, True: mirrored}

    def features(self, mirrored: bool, steps: int = 0) -> LocalFeatures:
        """Features of the picture, made wider by so many steps (negative: higher)."""
        key = (mirrored, steps)
        if key not in self._features:
            grey = _reshaped(self._grey, _STEP**steps) if steps else self._grey
            grey = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
            self._features[key] = extract_features(grey, max_points=QUERY_POINTS)
        return self._features[key]

    def stretched_to(
        self, original: LocalFeatures, *, mirrored: bool, sideways: bool
    ) -> LocalFeatures | None:
        """Features of the picture in the shape of an original; None where it has that shape, or one far from it.

        Args:
            sideways: the picture is turned by a quarter against the original.
        """
        height, width = self._grey.shape
        wanted = original.height / original.width if sideways else original.width / original.height
        stretch = wanted * height / width
        if not _LEAST_STRETCH < max(stretch, 1 / stretch) < _MOST_STRETCH:
            return None
        return self.features(mirrored, round(math.log(stretch, _STEP)))


def without_bars(fingerprint: PictureFingerprint) -> PictureFingerprint | None:
    """The fingerprint of what a picture shows between bars of one colour; None where there are none."""
    bars = find_bars(fingerprint.grey)
    if not bars.matter(fingerprint.grey):
        return None
    inside = bars.cut(fingerprint.grey)
    variants, quality = pdq_variants(inside)
    return replace(
        fingerprint,
        variants=variants,
        pdq_quality=quality,
        pixels_sha256=None,
        grey=at_working_size(inside),
    )


def _reshaped(grey: NDArray[np.uint8], stretch: float) -> NDArray[np.uint8]:
    """Wider by a factor, within the working size; smaller one way rather than larger the other way."""
    import cv2

    height, width = grey.shape
    size = (width, round(height / stretch)) if stretch > 1 else (round(width * stretch), height)
    reshaped = cv2.resize(grey, (max(1, size[0]), max(1, size[1])), interpolation=cv2.INTER_AREA)
    return at_working_size(np.asarray(reshaped, dtype=np.uint8))
