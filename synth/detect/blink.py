"""Blinking: how often and for how long eyes close, compared with people's statistics.

After Li, Chang and Lyu, "In Ictu Oculi: Exposing AI Created Fake Videos by Detecting Eye Blinking", WIFS 2018. Their
LRCN reads eye states from crops; here MediaPipe's iris network finds the outline of the lids. Openness is the height
of that outline over its width.

Blink rates differ more between people and occasions than within a clip: on average 4.5 a minute while reading, 17 at
rest and 26 in conversation (Bentivoglio et al., Movement Disorders 12(6), 1997). The model is a gamma distributed rate,
which covers all three, and a Poisson number of blinks given the rate. The score is 1 minus the two-sided probability of
a number, or of a duration, at least as unusual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.detect.base import Finding, Line, Plot, bounded
from synth.detect.observe import TIMELESS, ObservedFace

#: Blinks a minute over people and occasions: mean and shape of a gamma distribution (standard deviation 13).
MEAN_RATE, SHAPE = 17.0, 1.7
#: Seconds a blink takes at half its depth: median, and standard deviation of the logarithm. Most are 0.1 to 0.4 s.
USUAL_DURATION, DURATION_SPREAD = 0.2, 0.5
#: Shorter footage is not judged: it may well show no blink.
LEAST_SECONDS = 4.0
#: Frames a second; at lower rates blinks fall between frames.
LEAST_RATE = 14.0
#: Seconds at half depth below which a dip is the landmarks' or the encoder's, and no blink (lids need longer).
SHORTEST = 0.07
#: In a blink, openness falls below this share of the usual openness.
DEPTH = 0.62
#: Seconds; longer closures (closed eyes, a look down) are shown but not judged.
LONGEST = 0.6
_LEAST_OPEN = 0.08
_BASELINE_SECONDS = 3.0
_MOST_MISSING = 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blink:
    """A blink: the time of its deepest frame, seconds; its duration at half depth, seconds; what was left of the usual
    openness, 0 to 1.
    """

    time: float
    duration: float
    left: float


def blink_finding(observed: ObservedFace) -> Finding:
    """Score the blinks of a video."""
    if observed.kind != "video" or len(observed.times) < 2:
        return Finding.cannot("a single picture does not blink")
    if observed.timeless:
        return Finding.cannot(TIMELESS)
    judged = float(observed.found.mean()) * observed.seconds
    if observed.rate < LEAST_RATE:
        return Finding.cannot(
            f"{observed.rate:.0f} frames a second are too few to see blinks (at least {LEAST_RATE:.0f})"
        )
    if judged + 1 / observed.rate < LEAST_SECONDS:  # times say when frames begin: the last one lasts too
        return Finding.cannot(f"too short: {judged:.1f} s with a face, at least {LEAST_SECONDS:.0f} s needed")
    if 1 - observed.found.mean() > _MOST_MISSING:
        return Finding.cannot(f"no face in {1 - observed.found.mean():.0%} of the frames")
    curve, usual = relative_openness(observed)
    if not np.isfinite(usual) or usual < _LEAST_OPEN:
        return Finding.cannot("the eyes cannot be seen well enough")
    dips = find_blinks(curve, observed.times)
    blinks = [dip for dip in dips if SHORTEST <= dip.duration <= LONGEST]
    chance = count_chance(len(blinks), judged)
    durations = [blink.duration for blink in blinks]
    slow = duration_chance(durations) if len(blinks) > 1 else 1.0  # one may be anything
    p = min(1.0, 2 * min(chance, slow)) if blinks else chance
    rate = 60 * len(blinks) / judged
    words = (
        f"{rarity(p)}: {len(blinks)} blinks in {judged:.1f} s ({rate:.0f} a minute; people: 4 to 45)"
        + (f", {1000 * float(np.median(durations)):.0f} ms each" if blinks else "")
        + (
            "; so short a clip without any is nothing unusual"
            if not blinks and count_chance(0, judged) > 0.05
            else ""
        )
    )
    return Finding(
        bounded(1 - p),
        saw={
            "seconds": round(judged, 3),
            "blinks": [[round(b.time, 3), round(b.duration, 3), round(b.left, 3)] for b in blinks],
            "longer_closures": sum(dip.duration > LONGEST for dip in dips),
            "shorter_dips": sum(dip.duration < SHORTEST for dip in dips),
            "per_minute": round(rate, 2),
            "count_p": round(chance, 4),
            "duration_p": round(slow, 4),
        },
        sentence=words,
        plots=[
            Plot(
                "Openness of the eyes",
                "seconds",
                "share of the usual openness",
                (Line("both eyes", observed.times, curve),),
                marks=tuple(blink.time for blink in blinks),
            )
        ],
    )


def rarity(p: float) -> str:
    """A two-sided probability (0 to 1) in words. The percentage is rounded down and never 100 %."""
    share = min(99, math.floor(100 * (1 - p) + 1e-9))
    if share < 1:
        return "as common as any among clips of people"
    return f"rarer than {share} % of clips of people"


def relative_openness(observed: ObservedFace) -> tuple[Floats, float]:
    """Openness ``(T,)`` of both eyes relative to the usual openness around each frame (1: as open as usual), and the
    median of that usual openness (height over width).
    """
    both = np.nanmean(np.where(np.isfinite(observed.openness), observed.openness, np.nan), axis=1)
    half = max(1, round(_BASELINE_SECONDS * max(observed.rate, 1) / 2))
    usual = np.full(len(both), np.nan)
    for place in range(len(both)):
        near = both[max(0, place - half) : place + half + 1]
        near = near[np.isfinite(near)]
        if len(near):
            usual[place] = np.percentile(near, 75)
    level = float(np.nanmedian(usual)) if np.isfinite(usual).any() else math.nan
    return np.asarray(both / np.maximum(usual, 1e-6)), level


def find_blinks(curve: Floats, times: Floats) -> list[Blink]:
    """Dips of the relative openness below :data:`DEPTH`, of any duration."""
    filled = np.interp(np.arange(len(curve)), np.flatnonzero(np.isfinite(curve)), curve[np.isfinite(curve)])
    blinks, place = [], 0
    while place < len(filled):
        if filled[place] >= DEPTH:
            place += 1
            continue
        end = place
        while end + 1 < len(filled) and filled[end + 1] < DEPTH:
            end += 1
        deepest = place + int(np.argmin(filled[place : end + 1]))
        half = (1 + filled[deepest]) / 2
        first = _crossing(filled, times, deepest, -1, half)
        last = _crossing(filled, times, deepest, 1, half)
        if 0 < deepest < len(filled) - 1:
            blinks.append(Blink(float(times[deepest]), last - first, float(filled[deepest])))
        place = end + 1
        while place < len(filled) and filled[place] < half:
            place += 1
    return blinks


def _crossing(values: Floats, times: Floats, start: int, step: int, level: float) -> float:
    place = start
    while 0 <= place + step < len(values) and values[place + step] < level:
        place += step
    further = place + step
    if not 0 <= further < len(values):
        return float(times[place])
    rise = values[further] - values[place]
    share = (level - values[place]) / rise if rise > 1e-9 else 0.5
    return float(times[place] + share * (times[further] - times[place]))


def count_chance(count: int, seconds: float) -> float:
    """Two-sided probability of a number of blinks at least as unusual in so many seconds: negative binomial, the
    mixture of Poisson numbers over gamma distributed rates.
    """
    mean = MEAN_RATE * seconds / 60
    success = SHAPE / (SHAPE + mean)
    term = math.exp(SHAPE * math.log(success))
    below = 0.0
    for number in range(count):
        below += term
        term *= (SHAPE + number) / (number + 1) * (1 - success)
    return min(1.0, max(0.0, 2 * min(below + term, 1 - below)))


def duration_chance(durations: list[float]) -> float:
    """Two-sided probability of a median duration at least as unusual; log-normal. 1 without blinks.

    Blinks of one person are alike, so that several count as one.
    """
    if not durations:
        return 1.0
    z = (math.log(max(float(np.median(durations)), 1e-3)) - math.log(USUAL_DURATION)) / DURATION_SPREAD
    return math.erfc(abs(z) / math.sqrt(2))
