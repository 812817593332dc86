"""Colour signals of skin over time, and the pulse in them.

* green: the relative change of the green channel (Verkruysse, Svaasand and Nelson, Optics Express 16(26), 2008);
* CHROM: de Haan and Jeanne, "Robust pulse rate from chrominance-based rPPG", IEEE TBME 60(10), 2013;
* POS: Wang, den Brinker, Stuijk and de Haan, "Algorithmic principles of remote PPG", IEEE TBME 64(7), 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Hertz: 42 to 210 beats a minute.
BAND = (0.7, 3.5)
#: Signals are resampled to so many values a second.
RATE = 30.0
METHODS = ("green", "chrom", "pos")
_POS_SECONDS = 1.6
_PADDING = 4096


@dataclass(frozen=True)
class Spectrum:
    """Power over frequency (Hz), both ``(F,)``, inside of :data:`BAND`; power sums to 1."""

    frequency: Floats
    power: Floats

    @property
    def peak(self) -> float:
        """Hz."""
        return float(self.frequency[int(np.argmax(self.power))])


def uniform(colours: Floats, times: Floats) -> Floats:
    """Colours ``(T, ...)`` at ``times`` as ``(N, ...)`` at :data:`RATE`; gaps (NaN) are bridged linearly."""
    count = max(2, round((times[-1] - times[0]) * RATE) + 1)
    wanted = times[0] + np.arange(count) / RATE
    flat = colours.reshape(len(colours), -1)
    columns = []
    for column in flat.T:
        good = np.isfinite(column)
        columns.append(np.interp(wanted, times[good], column[good]) if good.any() else np.zeros(count))
    return np.stack(columns, axis=1).reshape(count, *colours.shape[1:])


def signal(method: str, colours: Floats) -> Floats:
    """The pulse signal ``(N,)`` of mean colours ``(N, 3)`` at :data:`RATE`, inside of :data:`BAND`, relative units
    (0.01 is one percent).
    """
    if method == "green":
        green = colours[:, 1]
        return band_pass(green / max(float(green.mean()), 1e-6) - 1)
    if method == "pos":
        return band_pass(_pos(colours))
    normal = colours / np.maximum(_trend(colours), 1e-6)
    x = band_pass(3 * normal[:, 0] - 2 * normal[:, 1])
    y = band_pass(1.5 * normal[:, 0] + normal[:, 1] - 1.5 * normal[:, 2])
    return np.asarray(x - x.std() / max(float(y.std()), 1e-12) * y)


def _trend(colours: Floats) -> Floats:
    """Running mean over two seconds."""
    width = min(len(colours), round(2 * RATE)) | 1
    padded = np.pad(colours, ((width // 2, width // 2), (0, 0)), mode="edge")
    sums = np.cumsum(np.vstack([np.zeros((1, colours.shape[1])), padded]), axis=0)
    return np.asarray((sums[width:] - sums[:-width])[: len(colours)] / width)


def _pos(colours: Floats) -> Floats:
    length = min(len(colours), round(_POS_SECONDS * RATE))
    result = np.zeros(len(colours))
    for start in range(len(colours) - length + 1):
        part = colours[start : start + length]
        normal = part / np.maximum(part.mean(0), 1e-6)
        s1 = normal[:, 1] - normal[:, 2]
        s2 = normal[:, 1] + normal[:, 2] - 2 * normal[:, 0]
        h = s1 + s1.std() / max(float(s2.std()), 1e-12) * s2
        result[start : start + length] += h - h.mean()
    return result / length


def band_pass(values: Floats) -> Floats:
    """Band-pass to :data:`BAND` with soft edges, after removing a linear trend."""
    count = len(values)
    place = np.arange(count)
    level = values - np.polyval(np.polyfit(place, values, 1), place) if count > 2 else values - values.mean()
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    soft = 0.1
    weight = np.clip((frequency - BAND[0] + soft) / soft, 0, 1) * np.clip(
        (BAND[1] + soft - frequency) / soft, 0, 1
    )
    return np.asarray(np.fft.irfft(np.fft.rfft(level) * weight, count))


def spectrum(values: Floats) -> Spectrum:
    """Power of a signal ``(N,)`` at :data:`RATE`, Hann window, padded with zeros."""
    size = max(_PADDING, len(values))
    power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(len(values)), size)) ** 2
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    inside = (frequency >= BAND[0]) & (frequency <= BAND[1])
    chosen = power[inside]
    return Spectrum(np.asarray(frequency[inside], np.float64), chosen / max(float(chosen.sum()), 1e-30))


def signal_to_noise(found: Spectrum, seconds: float, at: float | None = None) -> float:
    """Power near a frequency (the peak, unless given) and near twice that, against the rest of the band, in dB (de Haan
    and Jeanne 2013). Near is within 0.1 Hz, or one over the duration where that is wider.
    """
    centre = found.peak if at is None else at
    reach = max(0.1, 1 / max(seconds, 0.1))
    near = (np.abs(found.frequency - centre) <= reach) | (np.abs(found.frequency - 2 * centre) <= reach)
    inside = float(found.power[near].sum())
    return float(10 * np.log10(max(inside, 1e-12) / max(1 - inside, 1e-12)))


def face_signal(method: str, colours: Floats) -> Floats:
    """The pulse signal of the mean of all regions' colours ``(N, R, 3)``."""
    return signal(method, colours.mean(1))
