"""Mouth shapes of phonemes (visemes), for synthetic speech.

A speech synthesiser knows which phoneme it says when. Each phoneme has a target for the mouth's opening and width, for
tucking the lower lip under the teeth and for pressing the lips, and a weight (dominance) for each. The mouth is the
weighted mean of the targets of the phonemes around (coarticulation after Cohen and Massaro, "Modeling coarticulation in
synthetic visual speech", 1993). ``benchmarks/synth/mouth_prior.py`` trains the prior of every person's mouth model on
such pairs of sound and mouth. The lips are drawn by hand here and are no person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.lipsync.mouth.audio import feature_times

#: Controls of the mouth: opening and narrowing in distances between the eyes, tucking and pressing from 0 to 1.
CONTROLS = ("opening", "width", "tuck", "press")
_REACH = 0.15
#: The 18 lip points at rest, in the order and the frame of :mod:`synth.lipsync.shape`.
REST = np.array(
    [
        *((-0.44, 1.00), (-0.34, 0.93), (-0.13, 0.865), (0.0, 0.875), (0.13, 0.865), (0.34, 0.93)),
        *((0.44, 1.00), (0.33, 1.075), (0.13, 1.145), (0.0, 1.155), (-0.13, 1.145), (-0.33, 1.075)),
        *((-0.19, 0.985), (0.0, 0.985), (0.19, 0.985), (0.19, 0.99), (0.0, 0.99), (-0.19, 0.99)),
    ]
)
_LOWER = np.array([7, 8, 9, 10, 11, 15, 16, 17])
_UPPER = np.array([1, 2, 3, 4, 5, 12, 13, 14])
_LOWER_RIM, _OUTER_LOWER, _OUTER_UPPER = (15, 16, 17), (8, 9, 10), (2, 3, 4)

#: Vowels: opening and width.
_VOWELS: dict[str, tuple[float, float]] = {
    "i": (0.07, 0.12), "ɪ": (0.09, 0.06), "e": (0.12, 0.08), "ɛ": (0.16, 0.04), "æ": (0.21, 0.05), "a": (0.22, 0.02),
    "ɐ": (0.17, 0.0), "ɑ": (0.24, 0.0), "ɒ": (0.21, -0.08), "ʌ": (0.16, 0.0), "ɔ": (0.16, -0.15), "o": (0.12, -0.22),
    "ʊ": (0.09, -0.18), "u": (0.06, -0.28), "ə": (0.10, 0.0), "ɚ": (0.10, -0.05), "ɜ": (0.12, -0.04),
    "y": (0.06, -0.25), "ʏ": (0.08, -0.2), "ø": (0.10, -0.2), "œ": (0.14, -0.15), "ɨ": (0.08, 0.04),
    "ɯ": (0.08, 0.04), "ɤ": (0.12, 0.0), "ɵ": (0.10, -0.15), "ʉ": (0.06, -0.25),
}  # fmt: skip
#: Consonants: opening, width, tuck, press, and the weights of opening and width.
_CONSONANTS: dict[str, tuple[float, float, float, float, float, float]] = {
    **dict.fromkeys("pbm", (0.0, 0.0, 0.0, 1.0, 8.0, 0.2)),
    **dict.fromkeys("fvʋⱱ", (0.02, 0.03, 1.0, 0.0, 4.0, 0.4)),
    **dict.fromkeys("βɸ", (0.02, -0.05, 0.0, 0.5, 4.0, 0.5)),
    **dict.fromkeys("wɥʍ", (0.03, -0.28, 0.0, 0.0, 2.0, 2.0)),
    **dict.fromkeys("ʃʒɕʑʂʐ", (0.08, -0.16, 0.0, 0.0, 1.5, 1.2)),
    **dict.fromkeys("sz", (0.06, 0.05, 0.0, 0.0, 1.5, 0.6)),
    **dict.fromkeys("tdnlɾrɫɭʈɖɳ", (0.07, 0.02, 0.0, 0.0, 0.7, 0.15)),
    **dict.fromkeys("θð", (0.08, 0.03, 0.0, 0.0, 1.0, 0.3)),
    **dict.fromkeys("ɹɻʁʀ", (0.08, -0.10, 0.0, 0.0, 0.7, 0.6)),
    **dict.fromkeys("jɲʎçʝ", (0.07, 0.07, 0.0, 0.0, 0.8, 0.5)),
    **dict.fromkeys("kgɡŋxɣqχhɦʔħʕɟc", (0.09, 0.0, 0.0, 0.0, 0.4, 0.1)),
}
#: The mouth in a pause, and of phonemes that are not listed.
_PAUSE = (0.0, 0.0, 0.0, 0.0, 1.5, 1.0)
_OTHER = (0.09, 0.0, 0.0, 0.0, 0.5, 0.1)

#: Classes of phonemes, a further training target.
KINDS = (
    *("pbm", "fvʋⱱβɸ", "wɥʍ", "ʃʒɕʑʂʐ", "sz", "tdʈɖ", "nlɾrɫɭɳ", "θð", "ɹɻʁʀ", "jɲʎçʝ", "kgɡŋxɣqχhɦʔħʕɟc"),
    *("iɪyʏ", "eɛøœ", "æaɐɑʌ", "ɔoɒɤ", "uʊɯʉ", "əɚɜɨɵ"),
)
_KIND_REACH = 0.05


@dataclass(frozen=True)
class Phone:
    """A phoneme (IPA; empty for a pause) that begins at a second."""

    name: str
    start: float


def wanted(name: str) -> tuple[float, float, float, float, float, float]:
    """Opening, width, tuck and press of a phoneme, and the weights of its opening and width.

    For a diphthong or an affricate the first known part counts; see :func:`split`.
    """
    for letter in name:
        if letter in _VOWELS:
            gap, wide = _VOWELS[letter]
            return gap, wide, 0.0, 0.0, 1.0, 1.0
        if letter in _CONSONANTS:
            return _CONSONANTS[letter]
    return _OTHER if name else _PAUSE


def split(phones: Sequence[Phone], end: float) -> list[tuple[str, float, float]]:
    """Name, start and end of each part; diphthongs and affricates in equal parts; language marks are left out."""
    known = [phone for phone in phones if not phone.name.startswith("(")]
    parts: list[tuple[str, float, float]] = []
    for place, phone in enumerate(known):
        stop = known[place + 1].start if place + 1 < len(known) else end
        letters = [one for one in phone.name if one in _VOWELS or one in _CONSONANTS] or [phone.name]
        edges = np.linspace(phone.start, max(stop, phone.start), len(letters) + 1)
        parts += [(name, float(a), float(b)) for name, a, b in zip(letters, edges, edges[1:], strict=False)]
    return parts


def controls(phones: Sequence[Phone], count: int) -> NDArray[np.float64]:
    """``(count, 4)`` of :data:`CONTROLS` at 100 Hz, for phonemes in the order in which they are said."""
    times = feature_times(count)
    goal, weight = np.zeros((count, 4)), np.zeros((count, 4))
    goal[:], weight[:] = _PAUSE[:4], 0.01
    for name, start, stop in split(phones, count / 100):
        inside = (times >= start) & (times < stop)
        gap, wide, tuck, press, insists, insists_width = wanted(name)
        goal[inside] = gap, wide, tuck, press
        weight[inside] = insists, insists_width, insists, insists
    window = np.hanning(round(_REACH * 100) + 2)[1:-1]
    window /= window.sum()

    def mixed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        half = len(window) // 2
        padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
        return np.stack([np.convolve(one, window, "valid") for one in padded.T], 1)[:count]

    return np.asarray(mixed(goal * weight) / mixed(weight))


def kinds(phones: Sequence[Phone], count: int) -> NDArray[np.float32]:
    """``(count, 17)`` at 100 Hz: which of :data:`KINDS` is said, 0 to 1, with smooth transitions; all 0 in pauses."""
    times, told = feature_times(count), np.zeros((count, len(KINDS)))
    for name, start, stop in split(phones, count / 100):
        for place, letters in enumerate(KINDS):
            if name and name in letters:
                told[(times >= start) & (times < stop), place] = 1.0
    window = np.hanning(round(_KIND_REACH * 100) + 2)[1:-1]
    return np.stack([np.convolve(one, window / window.sum(), "same") for one in told.T], 1).astype(np.float32)


def lips(told: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 36)`` shapes of the drawn mouth from ``(N, 4)`` controls."""
    values = np.asarray(told, np.float64)
    points = np.repeat(REST[None], len(values), 0)
    gap, wide, tuck, press = (values[:, None, place] for place in range(4))
    fall = 1 - (REST[:, 0] / 0.5) ** 2
    points[:, _LOWER, 1] += 0.8 * gap * fall[_LOWER]
    points[:, _UPPER, 1] -= 0.2 * gap * fall[_UPPER]
    points[:, (0, 6), 1] += 0.25 * gap
    points[:, :, 0] *= 1 + wide - 0.15 * gap
    points[:, _LOWER_RIM, 1] -= 0.03 * tuck
    points[:, _OUTER_LOWER, 1] -= 0.02 * tuck + 0.03 * press
    points[:, _OUTER_UPPER, 1] += 0.015 * press
    # lips cannot pass through each other
    middle = points[:, (12, 13, 14), 1]
    points[:, (17, 16, 15), 1] = np.maximum(points[:, (17, 16, 15), 1], middle)
    return points.reshape(len(values), -1)
