"""What is measured of a speaking mouth: how it moves with its face, and how its pixels differ from the face's.

A lip-sync paints the lower face anew and keeps the rest. Three things follow, whatever paints it:

* The mouth's movement is a guess from sound. It is smoother and smaller than a real one, so that of what landmarks say
  about it a larger share is their own noise; it has other proportions of velocity, acceleration and jerk.
* Jaw, cheeks and mouth move together in a real face. Where some of them are another moment's, they do so less.
* Painted skin has another sharpness, another grain and another steadiness than the skin above it.

Landmarks are seen from the front first (the head's own movement is taken out by points that speech does not move), in
distances between the eyes, 25 times a second. Nothing here depends on who it is, as far as ratios go.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.detect.observe import ObservedFace
from synth.detect.patches import MEASURES, PARTS, no_patches
from synth.extraction.canonical import INNER_LIPS, LIPS, TEMPLATE, umeyama

Floats = NDArray[np.float64]
RATE = 25.0
WINDOW, STEP = 4.0, 2.0
#: Shorter parts are not judged; of a part so many frames may be without a face.
LEAST_SECONDS, MOST_MISSING = 3.0, 0.15
#: What the head's pose is read from: points above the mouth that speech hardly moves.
STILL = tuple(index for index in TEMPLATE if index not in (98, 327, 2, 50, 280, 61, 291, 0, 55, 285))
_JAW = (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397)
_CHEEKS = (50, 280, 205, 425, 117, 346, 187, 411, 36, 266)
_EYES = (33, 133, 362, 263, 168, 6)
_GAPS = ((13, 14), (82, 87), (312, 317))
_MIRRORED = ((61, 291), (40, 270), (37, 267), (91, 321), (84, 314))
_KNOTS, _QUARTERS = 5, 4
_NAMED = {
    "mouth": ("mouth",),
    "jaw": ("chin", "left jowl", "right jowl"),
    "upper": ("left cheek", "right cheek", "nose"),
    "eyes": ("left eye", "right eye"),
}
_PAIRED = (("jaw", "upper"), ("mouth", "upper"), ("mouth", "eyes"), ("mouth", "jaw"))


def lip_windows(observed: ObservedFace) -> list[tuple[float, dict[str, float]]]:
    """Start (s) and features of each window of four seconds, two seconds apart; of shorter footage, of the whole.

    Windows in which too few frames show a face are left out.
    """
    return windows_of(observed.times, from_the_front(observed.landmarks), observed.patches)


def windows_of(times: Floats, front: Floats, patches: Floats) -> list[tuple[float, dict[str, float]]]:
    """As :func:`lip_windows`, of ``(T,)`` times, landmarks from the front and patches of the same frames."""
    there = np.isfinite(front[:, 0, 0])
    if len(patches) != len(times):  # looked at without its pixels
        patches = no_patches(len(times))
    seconds = float(times[-1] - times[0]) + 1 / RATE
    starts = np.arange(0, seconds - WINDOW + 0.05, STEP) if seconds >= WINDOW else np.zeros(1)
    result = []
    for start in times[0] + starts:
        chosen = (times >= start - 1e-6) & (times < start + WINDOW)
        if there[chosen].mean() < 1 - MOST_MISSING or np.ptp(times[chosen]) < LEAST_SECONDS - 0.2:
            continue
        moved = motion_features(evenly(front[chosen], times[chosen]))
        result.append((float(start), {**moved, **pixel_features(patches[chosen])}))
    return result


def from_the_front(landmarks: NDArray[np.floating]) -> Floats:
    """``(T, 468, 3)`` landmarks with the head's place, size and pose taken out, in distances between the eyes."""
    model = np.array([TEMPLATE[index] for index in STILL])
    result = np.full(landmarks.shape, np.nan)
    for place in np.flatnonzero(np.isfinite(landmarks[:, 0, 0])):
        face = np.asarray(landmarks[place], np.float64)
        turn = umeyama(face[list(STILL)], model)
        result[place] = face @ turn[:, :3].T + turn[:, 3]
    return result


def evenly(points: Floats, times: Floats) -> Floats:
    """Points at 25 frames a second, between the first and the last time; gaps are bridged by straight lines."""
    there = np.isfinite(points[:, 0, 0])
    moments = times[0] + np.arange(max(2, int((times[-1] - times[0]) * RATE + 1e-6) + 1)) / RATE
    flat = points.reshape(len(points), -1)[there]
    even = [np.interp(moments, times[there], column) for column in flat.T]
    return np.stack(even, 1).reshape(len(moments), *points.shape[1:])


def opening(front: Floats) -> Floats:
    """``(T,)`` how far the lips are apart, distances between the eyes."""
    return np.asarray(np.mean([front[:, low, 1] - front[:, high, 1] for high, low in _GAPS], axis=0))


def motion_features(front: Floats) -> dict[str, float]:
    """Of one window, by name.

    Args:
        front: ``(T, 468, 3)`` of :func:`evenly`.
    """
    flat = {
        name: front[:, list(points), :2].reshape(len(front), -1)
        for name, points in (("lips", LIPS + INNER_LIPS), ("jaw", _JAW), ("cheeks", _CHEEKS), ("eyes", _EYES))
    }
    gap, wide = opening(front), front[:, 291, 0] - front[:, 61, 0]
    told: dict[str, float] = {}
    for name, values in (
        ("lips", flat["lips"]),
        ("jaw", flat["jaw"]),
        ("opening", gap[:, None]),
        ("width", wide[:, None]),
    ):
        told |= _rhythm(name, values)
    speed = {name: _size(np.diff(values, axis=0)) for name, values in flat.items()}
    for name, other in (("lips", "eyes"), ("jaw", "lips"), ("cheeks", "lips")):
        told[f"speed of {name} over {other}"] = _log(speed[name], speed[other])
    for name, values in (
        ("lips", flat["lips"]),
        ("lips' speed", np.diff(flat["lips"], axis=0)),
        ("jaw's speed", np.diff(flat["jaw"], axis=0)),
    ):
        shares = np.linalg.svd(values - values.mean(0), compute_uv=False) ** 2
        shares = shares / max(float(shares.sum()), 1e-12)
        told[f"{name}: beyond six components"] = _log(float(shares[6:].sum()), 1.0)
        told[f"{name}: dimensions"] = -_log(float((shares**2).sum()), 1.0)
    chin = front[:, 152, 1]
    told["chin follows opening"] = _correlation(gap, chin)
    told["chin's speed follows"] = _correlation(np.diff(gap), np.diff(chin))
    for cause, effect in (("lips", "jaw"), ("lips", "cheeks"), ("jaw", "lips"), ("cheeks", "lips")):
        told[f"{effect} from {cause}"] = _explained(flat[cause], flat[effect])
        told[f"{effect}' speed from {cause}'"] = _explained(
            np.diff(flat[cause], axis=0), np.diff(flat[effect], axis=0)
        )
    tilt = np.stack([front[:, left, 1] - front[:, right, 1] for left, right in _MIRRORED], 1)
    told["asymmetry"] = _log(float(np.diff(tilt, axis=0).std()), float(np.diff(flat["lips"], axis=0).std()))
    return told


def _rhythm(name: str, values: Floats) -> dict[str, float]:
    """Shares of quick movement, and root mean squares of acceleration over velocity and jerk over acceleration."""
    power = (
        np.abs(np.fft.rfft((values - values.mean(0)) * np.hanning(len(values))[:, None], axis=0)) ** 2
    ).sum(1)
    hertz = np.fft.rfftfreq(len(values), 1 / RATE)
    whole = float(power[hertz > 0.4].sum())
    velocity = np.diff(values, axis=0)
    acceleration = np.diff(velocity, axis=0)
    return {
        f"{name} above 6 Hz": _log(float(power[hertz > 6].sum()), whole),
        f"{name} at 3 to 6 Hz": _log(float(power[(hertz > 3) & (hertz <= 6)].sum()), whole),
        f"{name}: acceleration": _log(_size(acceleration), _size(velocity)),
        f"{name}: jerk": _log(_size(np.diff(acceleration, axis=0)), _size(acceleration)),
    }


def _explained(cause: Floats, effect: Floats) -> float:
    """The share of an effect's variance that the cause's first components tell, in quarters that were not learned."""
    x, y = cause - cause.mean(0), effect - effect.mean(0)
    left, sizes, _ = np.linalg.svd(x, full_matrices=False)
    knots = left[:, :_KNOTS] * sizes[:_KNOTS]
    ridge = 0.01 * float((knots**2).sum()) / max(1, knots.shape[1])
    missed = 0.0
    for part in np.array_split(np.arange(len(x)), _QUARTERS):
        rest = np.setdiff1d(np.arange(len(x)), part)
        middle, goal = knots[rest].mean(0), y[rest].mean(0)
        known, told = knots[rest] - middle, y[rest] - goal
        weights = np.linalg.solve(known.T @ known + ridge * np.eye(knots.shape[1]), known.T @ told)
        missed += float((((knots[part] - middle) @ weights - (y[part] - goal)) ** 2).sum())
    return max(-1.0, 1 - missed / max(float((y**2).sum()), 1e-12))


def pixel_features(patches: Floats) -> dict[str, float]:
    """Of one window, by name; NaN where a part was too small.

    Args:
        patches: ``(T, parts, measures)`` of :mod:`synth.detect.patches`.
    """
    places = {name: [list(PARTS).index(one) for one in parts] for name, parts in _NAMED.items()}
    logs = np.log(np.maximum(patches, 0.05))
    seen = {
        (name, measure): _mean(logs[:, rows, MEASURES.index(measure)])
        for name, rows in places.items()
        for measure in MEASURES
    }
    kept = {name: _mean(patches[:, rows, MEASURES.index("kept")]) for name, rows in places.items()}
    told = {}
    for one, other in _PAIRED:
        pair = f"{one} over {other}"
        apart = {measure: seen[one, measure] - seen[other, measure] for measure in MEASURES}
        for measure in ("fine", "coarse", "change", "fine change"):
            told[f"{measure}: {pair}"] = _median(apart[measure])
        told[f"fine over coarse: {pair}"] = _median(apart["fine"] - apart["coarse"])
        told[f"fine change over fine: {pair}"] = _median(apart["fine change"] - apart["fine"])
        told[f"change over coarse: {pair}"] = _median(apart["change"] - apart["coarse"])
        told[f"kept: {pair}"] = _median(kept[one] - kept[other])
        for measure in ("fine", "coarse", "level"):
            told[f"{measure} jumps: {pair}"] = _jumps(apart[measure])
        told[f"fine wanders: {pair}"] = _spread(apart["fine"])
        told[f"bursts: {pair}"] = _burst(seen[one, "change"]) - _burst(seen[other, "change"])
    return told


def _mean(values: Floats) -> Floats:
    """Over the second axis, NaN where all are."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(1)
    return np.asarray(np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan))


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _jumps(values: Floats) -> float:
    """How much a ratio departs from its neighbours' mean, logarithm."""
    known = values[np.isfinite(values)]
    return _log(float(np.median(np.abs(np.diff(known, 2)))), 1.0) if len(known) > 5 else float("nan")


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return _log(float(known.std()), 1.0) if len(known) > 5 else float("nan")


def _burst(values: Floats) -> float:
    """How far the strongest twentieth of frames is above the usual one."""
    known = values[np.isfinite(values)]
    return float(np.percentile(known, 95) - np.median(known)) if len(known) > 5 else float("nan")


def _size(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))


def _log(value: float, other: float) -> float:
    return float(np.log(max(value, 1e-6) / max(other, 1e-6)))


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-12 else 0.0
