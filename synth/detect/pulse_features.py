"""Features of a pulse: how alike the signals of three face regions are, and how much consecutive frames flicker.

After Ciftci, Demir and Yin, "FakeCatcher: Detection of Synthetic Portrait Videos using Biological Signals", TPAMI 2020:
signals of left cheek, right cheek and middle, their correlation in space and time, and their spectra. Added here: four
figures of flicker, the temporal discontinuity between frames. A window is four seconds, the paper's omega = 128
frames.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from synth.detect.observe import REGIONS, ObservedFace
from synth.detect.pulse import (
    METHODS,
    RATE,
    Spectrum,
    face_signal,
    signal,
    signal_to_noise,
    spectrum,
    uniform,
)

Floats = NDArray[np.float64]
WINDOW, STEP = 4.0, 1.0
_PAIRS = tuple(itertools.combinations(range(len(REGIONS)), 2))
_MOST_MISSING = 0.1

_KINDS = (
    "correlation",
    "spectral overlap",
    "peak spread",
    "signal to noise",
    "entropy",
    "log size",
    "left less right",
)
_FLICKER = ("flicker level", "flicker over detail", "flicker over surroundings", "flicker jumps")
FEATURES = (*(f"{method} {kind}" for method in METHODS for kind in _KINDS), *_FLICKER)


def windows(observed: ObservedFace) -> list[tuple[float, Floats]]:
    """Start (s) and features ``(len(FEATURES),)`` of each window of footage with a face in nine of ten frames."""
    result = []
    times = observed.times
    last = float(times[-1]) - WINDOW
    start = 0.0
    while start <= last + 0.5 / RATE + 1e-6:
        chosen = (times >= start - 1e-6) & (times <= start + WINDOW + 1e-6)
        whole = np.isfinite(observed.colours[chosen]).all((1, 2))
        if chosen.sum() >= 3 * WINDOW and (1 - whole.mean()) <= _MOST_MISSING:
            result.append(
                (start, window_features(observed.colours[chosen], times[chosen], observed.flicker[chosen]))
            )
        start += STEP
    return result


def window_features(colours: Floats, times: Floats, flicker: Floats) -> Floats:
    """Of one window.

    Args:
        colours: ``(T, 3, 3)`` regions by channels, 0 to 255.
        times: ``(T,)`` seconds.
        flicker: ``(T, 3)`` as :class:`~synth.detect.observe.ObservedFace` has it.
    """
    even = uniform(colours, times)
    seconds = len(even) / RATE
    values: list[float] = []
    for method in METHODS:
        signals = [signal(method, even[:, region]) for region in range(len(REGIONS))]
        spectra = [spectrum(one) for one in signals]
        values += [
            float(np.mean([_correlation(signals[a], signals[b]) for a, b in _PAIRS])),
            float(np.mean([_overlap(spectra[a], spectra[b]) for a, b in _PAIRS])),
            float(np.std([np.log(one.peak) for one in spectra])),
            signal_to_noise(spectrum(face_signal(method, even)), seconds),
            float(np.mean([_entropy(one) for one in spectra])),
            float(np.log(max(np.mean([one.std() for one in signals]), 1e-7))),
            _log_ratio(float((signals[0] - signals[1]).std()), float((signals[0] + signals[1]).std())),
        ]
    return np.array(values + _flicker(flicker))


def _flicker(flicker: Floats) -> list[float]:
    good = flicker[np.isfinite(flicker).all(1)]
    if len(good) < 3:
        return [0.0, 0.0, 0.0, 0.0]
    inside, around, detail = good.T
    return [
        float(np.log(max(np.median(inside), 1e-3))),
        _log_ratio(float(np.median(inside)), float(np.median(detail))),
        _log_ratio(float(np.median(inside)), float(np.median(around))),
        _log_ratio(float(np.percentile(inside, 95)), float(np.median(inside))),
    ]


def _correlation(a: Floats, b: Floats) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def _overlap(a: Spectrum, b: Spectrum) -> float:
    """Bhattacharyya's coefficient of two spectra: 1 for equal spectra, 0 for disjoint ones."""
    return float(np.sqrt(a.power * b.power).sum())


def _entropy(one: Spectrum) -> float:
    power = one.power[one.power > 1e-12]
    return float(-(power * np.log(power)).sum() / np.log(len(one.power)))


def _log_ratio(a: float, b: float) -> float:
    return float(np.log(max(a, 1e-7) / max(b, 1e-7)))
