"""Series made smooth over time: landmarks, and how colours are changed. Pure functions of ``(T, ...)`` arrays.

A frame without a face is a row of NaN; the series is smoothed on either side of it, not across.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

#: Of a face's landmarks from frame to frame, as a share of the distance between the outer corners of the eyes.
TREMBLING = 0.006
METHODS = ("savgol", "one-euro", "mean", "none")
Series = NDArray[np.float64]


def smoothed(
    method: str, series: NDArray[np.floating], times: NDArray[np.floating], strength: float
) -> Series:
    """Smooth each column.

    Args:
        method: "savgol" (a parabola through each moment's neighbours: Savitzky and Golay, 1964; looks ahead, does not
            lag), "one-euro" (Casiez, Roussel and Vogel, CHI 2012; does not look ahead), "mean" (running mean, in both
            directions) or "none".
        series: ``(T, ...)``.
        times: ``(T,)`` seconds, rising.
        strength: 0 (nothing) to 1 (much).

    Raises:
        UsageError: no such method, or another number of times.
    """
    if method not in METHODS:
        raise UsageError(f"no smoothing is called {method[:40]!r}", hint="one of " + ", ".join(METHODS))
    values = np.asarray(series, np.float64)
    if len(values) != len(times):
        raise UsageError(f"found {len(values)} rows and {len(times)} times")
    if method == "none" or strength <= 0 or len(values) < 3:
        return values.copy()
    flat, result = values.reshape(len(values), -1), values.reshape(len(values), -1).copy()
    how: Callable[[Series, Series, float], Series] = {
        "savgol": _savgol,
        "one-euro": _one_euro,
        "mean": _mean,
    }[method]
    for start, end in _runs(np.asarray(~np.isnan(flat).any(1))):
        if end - start >= 3:
            result[start:end] = how(
                flat[start:end], np.asarray(times[start:end], np.float64), min(strength, 1.0)
            )
    return result.reshape(values.shape)


def stabilised(
    method: str, landmarks: NDArray[np.floating], times: NDArray[np.floating], strength: float
) -> Series:
    """Landmarks without their trembling. Where smoothing would move a face by more than trembling does (about
    :data:`TREMBLING` of the distance between the eyes), the head has moved, and the landmarks stay as they were found:
    otherwise the face would swim on a head that stops and starts.

    Args:
        method, times, strength: as for :func:`smoothed`.
        landmarks: ``(T, 468, 2)`` in pixels, NaN where there is no face.
    """
    points = np.asarray(landmarks, np.float64)
    change = smoothed(method, points, times, strength) - points
    span = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    moved = np.linalg.norm(change, axis=-1).mean(-1) / np.maximum(span, 1e-6)
    keep = 1 / (1 + (moved / TREMBLING) ** 4)
    return np.asarray(points + change * np.nan_to_num(keep)[:, None, None])


def _runs(good: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _savgol(values: Series, times: Series, strength: float) -> Series:
    """Least squares with the times as they are, so that uneven frames do no harm; window 3 to 13 frames."""
    reach, result = 1 + round(5 * strength), np.empty_like(values)
    for row in range(len(values)):
        low, high = max(0, row - reach), min(len(values), row + reach + 1)
        near = times[low:high] - times[row]
        width = max(1e-9, float(np.abs(near).max()))
        terms = np.vander(near / width, 3 if high - low > 3 else 2, increasing=True)
        result[row] = np.linalg.lstsq(terms, values[low:high], rcond=None)[0][0]
    return result


def _one_euro(values: Series, times: Series, strength: float) -> Series:
    """The cutoff frequency rises with speed: stillness is smoothed, movement is not delayed."""
    least, slope = 3.0 * (1 - strength) + 0.3, 0.05
    result, speed = values.copy(), np.zeros(values.shape[1])
    for row in range(1, len(values)):
        step = max(1e-4, float(times[row] - times[row - 1]))
        change = (values[row] - result[row - 1]) / step
        speed = speed + _share(1.0, step) * (change - speed)
        keep = _share(least + slope * np.abs(speed), step)
        result[row] = result[row - 1] + keep * (values[row] - result[row - 1])
    return result


def _share(cutoff: float | Series, step: float) -> float | Series:
    turned = 2 * np.pi * cutoff * step
    return turned / (turned + 1)


def _mean(values: Series, times: Series, strength: float) -> Series:
    keep = 1 - 0.9 * strength

    def running(rows: Series) -> Series:
        out = rows.copy()
        for row in range(1, len(rows)):
            out[row] = out[row - 1] + keep * (rows[row] - out[row - 1])
        return out

    return (running(values) + running(values[::-1])[::-1]) / 2
