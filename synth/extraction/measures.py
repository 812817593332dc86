"""What the rules look at: how sharp, how lit, how coloured, how cut off, how covered an aligned face is.

All of it is measured inside the face's own outline, on the aligned picture at one size, so that neither the background
nor the size of the extraction matters.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.extraction.canonical import INNER_LIPS, LEFT_EYE, LIPS, POINTS, RIGHT_EYE, face_mask, transformed

#: Side of the aligned picture that everything is measured on.
SIDE = 128
_BLUR_TAPS = 9
_BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
_NOT_SKIN = frozenset((*LEFT_EYE, *RIGHT_EYE, *LIPS, *INNER_LIPS, *_BROWS))
_SKIN = np.array([index not in _NOT_SKIN for index in range(POINTS)])
#: Hue of skin in CIELAB's a-b plane lies between these, degrees, under every light that photographs are made in.
_SKIN_HUES = (-15.0, 100.0)
#: Below this chroma a picture is black and white, which is no place for colour either.
_LEAST_CHROMA = 3.0


def scaled(
    pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """An aligned face and its landmarks ``(468, 2)`` at :data:`SIDE`."""
    factor = SIDE / pixels.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = pixels if factor == 1 else cv2.resize(pixels, (SIDE, SIDE), interpolation=method)
    return np.asarray(small, np.uint8), np.asarray(landmarks * factor, np.float32)


def measure_face(pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> dict[str, float]:
    """Every measure that one face alone allows.

    Args:
        pixels: uint8 ``(S, S, 3)`` RGB, aligned.
        landmarks: ``(468, 2)`` in its pixels.

    Returns:
        ``blur`` 0 (sharp) to 1; ``darkest`` and ``brightest``, the 5th and 95th percentile of luma, 0 to 255;
        ``burnt``, the share of pixels without detail because they are white; ``cast``, how far the colour of the
        skin is outside of what skin can have, units of CIELAB; ``uneven``, the share of the skin that has another
        colour than the rest, 0 to 1.
    """
    small, points = scaled(pixels, landmarks)
    inside = face_mask(points, SIDE) > 127
    if int(inside.sum()) < 64:
        return dict.fromkeys(("blur", "darkest", "brightest", "burnt", "cast", "uneven"), 0.0)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    low, high = np.percentile(luma[inside], (5, 95))
    colours = point_colours(small, points)
    return {
        "blur": blur_effect(luma, inside),
        "darkest": float(low),
        "brightest": float(high),
        "burnt": float((luma[inside] >= 250).mean()),
        "cast": _cast(colours),
        "uneven": _uneven(colours),
    }


def blur_effect(luma: NDArray[np.uint8], inside: NDArray[np.bool_]) -> float:
    """How little is lost when the picture is blurred once more: 0 (sharp) to 1 (already blurred).

    Crete, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", SPIE 6492, 2007; here over the pixels of ``inside``.

    Args:
        luma: ``(H, W)`` uint8.
        inside: ``(H, W)`` bool.
    """
    values = luma.astype(np.float32)
    worst = 0.0
    for axis, kernel in ((0, (1, _BLUR_TAPS)), (1, (_BLUR_TAPS, 1))):
        again = cv2.blur(values, kernel, borderType=cv2.BORDER_REFLECT_101)
        weight = (
            np.minimum(inside[1:], inside[:-1]) if axis == 0 else np.minimum(inside[:, 1:], inside[:, :-1])
        )
        steps, blurred = np.abs(np.diff(values, axis=axis)), np.abs(np.diff(again, axis=axis))
        total = float(steps[weight].sum())
        lost = float(np.maximum(0, steps - blurred)[weight].sum())
        worst = max(worst, (total - lost) / total if total > 0 else 1.0)
    return worst


def outside_share(
    landmarks: NDArray[np.floating], matrix: NDArray[np.floating], width: int, height: int
) -> float:
    """The share of a face's outline that lies outside of its frame, 0 to 1.

    Args:
        landmarks: ``(468, 2)`` in pixels of the frame.
        matrix: from the frame to an aligned picture of side :data:`SIDE`.
        width, height: of the frame.
    """
    inside = face_mask(transformed(landmarks, matrix), SIDE) > 127
    whole = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    rows, columns = np.nonzero(inside)
    places = transformed(np.stack([columns, rows], -1) + 0.5, whole)
    shown = np.all((places >= 0) & (places < (width, height)), axis=-1)
    return float(1 - np.mean(shown)) if len(rows) else 1.0


def point_colours(pixels: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """CIELAB colours ``(468, 3)`` at the landmarks, averaged over a neighbourhood of about 5 % of the face.

    Being bound to places of the face, they can be compared between poses and expressions.

    Args:
        pixels: uint8 ``(S, S, 3)`` RGB, aligned.
        landmarks: ``(468, 2)`` in its pixels.
    """
    small, points = scaled(pixels, landmarks)
    lab = cv2.cvtColor(np.asarray(small, np.float32) / 255, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (0, 0), SIDE * 0.012)
    places = np.clip(np.floor(points), 0, SIDE - 1).astype(int)
    return np.asarray(smooth[places[:, 1], places[:, 0]], np.float32)


#: Colours in one place that are further apart than this (CIELAB, lightness counted half) are of different things.
_DEPARTS = 12.0


class UsualColours:
    """What the faces of a set look like in each place, and how much that varies.

    A beard, glasses or a fringe that are always there vary little and are usual; a hand that passes is not.

    Args:
        colours: ``(N, 468, 3)`` of :func:`point_colours`, of a sample of the set.
    """

    def __init__(self, colours: NDArray[np.float32]) -> None:
        self._median = np.median(colours, axis=0)
        apart = np.stack([self._apart(one) for one in colours])
        self._limit = np.maximum(_DEPARTS, 4 * 1.4826 * np.median(apart, axis=0))

    def departure(self, colours: NDArray[np.float32]) -> float:
        """The share of a face's points ``(468, 3)`` that show something else than the set's usually do, 0 to 1."""
        return float((self._apart(colours) > self._limit).mean())

    def _apart(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distances of the points' colours, after the face's overall light is taken out: the median difference."""
        difference = colours - self._median
        return _distance(np.asarray(difference - np.median(difference, axis=0), np.float32))


def _distance(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt((difference * (0.5, 1.0, 1.0)) ** 2 @ np.ones(3)), np.float32)


def _cast(colours: NDArray[np.float32]) -> float:
    a, b = np.median(colours[_SKIN, 1:], axis=0)
    chroma = float(np.hypot(a, b))
    if chroma < _LEAST_CHROMA:
        return 99.0
    low, high = _SKIN_HUES
    hue = float(np.degrees(np.arctan2(b, a)))
    beyond = (
        min(abs((hue - edge + 180) % 360 - 180) for edge in (low, high)) if not low <= hue <= high else 0.0
    )
    return chroma * float(np.sin(np.radians(min(90.0, beyond)))) + max(0.0, chroma - 55.0)


def _uneven(colours: NDArray[np.float32]) -> float:
    skin = colours[_SKIN]
    # shadows are on every face: lightness counts for a quarter here
    difference = (skin - np.median(skin, axis=0)) * np.array([0.5, 1.0, 1.0], np.float32)
    return float((_distance(difference) > _DEPARTS).mean())


def colour_of(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """The skin's ``(a, b)`` in CIELAB: median over the points that are neither eyes, brows nor lips."""
    return np.asarray(np.median(colours[_SKIN, 1:], axis=0), np.float32)
