"""Which frame of the target is shown when: a head that moves while it speaks, and rests in the pauses.

The dynamic programme of section 4.4 of "Synthesizing Obama" (2017). N made frames are laid onto M target frames: none
is skipped between the first and the last that are used, each is shown once or twice in a row; the second showing is a
half-frame, half-way to the next one. With V(j) the target's movement at frame j (landmark speed, plus ``blink_weight``
in a blink):

* ``G(i, j) = [silent(i)] V(j) - [speech began just before i] onset_weight V(j)``
* ``F0(i, j) = min(F0(i-1, j-1), F1(i-1, j-1)) + G(i, j)``, frame j shown for the first time
* ``F1(i, j) = F0(i-1, j) + repeat_weight V(j) + G(i, j)``, frame j shown again

The first and the last frame used are free where there are more than needed. O(N M), a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.errors import MediaTooLargeError, UsageError

#: N times M at most: half an hour onto half an hour at 25 frames a second would be 2e9.
MAX_CELLS = 600_000_000
_RIGID = (33, 133, 362, 263, 168, 6, 197, 4, 2, 98, 327, 10, 151)
_EYES = (33, 263)
#: An eye that is open less than this share of its usual opening is shut; so many seconds around belong to the blink.
_SHUT, _BLINK = 0.6, 0.08
_QUICK = 95
#: A target of which so much is needed leaves hardly a choice where to begin.
_AMPLE = 0.8
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RetimeWeights:
    """``a_B``, ``a_U`` and ``a_S`` of the paper."""

    blink: float = 1.0
    onset: float = 2.0
    repeat: float = 2.0


@dataclass(frozen=True)
class Retimed:
    """Which target frame each made frame is laid onto.

    Attributes:
        frames: ``(N,)``: j, or j + 0.5 for the half-frame after j.
        cost: of the whole, as the programme adds it up.
    """

    frames: Floats
    cost: float

    @property
    def base(self) -> NDArray[np.int64]:
        """``(N,)``: j, of half-frames too."""
        return np.floor(self.frames).astype(np.int64)

    @property
    def halves(self) -> NDArray[np.bool_]:
        return np.asarray(self.frames % 1 > 0)


def retime(
    speed: NDArray[np.floating],
    blink: NDArray[np.bool_],
    silent: NDArray[np.bool_],
    onset: NDArray[np.bool_],
    weights: RetimeWeights | None = None,
    progress: Callable[[float], None] | None = None,
) -> Retimed:
    """Lay N made frames onto M target frames at the least cost.

    Args:
        speed: ``(M,)`` movement of the target, 0 for stillness and about 1 for quick, see :func:`movement`.
        blink: ``(M,)`` eyes shut, see :func:`blinks`.
        silent: ``(N,)`` no speech.
        onset: ``(N,)`` speech that just began.
        weights: see :class:`RetimeWeights`.
        progress: called with the share of rows done.

    Raises:
        UsageError: values of other lengths, not finite or negative speed, or more than 2 M frames to lay.
        MediaTooLargeError: more than :data:`MAX_CELLS` pairs.
    """
    chosen = weights or RetimeWeights()
    value = _value(speed, blink, chosen)
    many, count = len(value), len(silent)
    if len(onset) != count or not count or not many:
        raise UsageError(f"found {count} frames of silence, {len(onset)} of onsets, {many} of the target")
    if count > 2 * many:
        raise UsageError(
            f"{count} frames cannot be laid onto {many}: each is shown twice at most",
            hint="name longer footage",
        )
    refuse_too_many(count, many)
    factor = np.asarray(silent, np.float64) - chosen.onset * np.asarray(onset, np.float64)
    first, again = factor[0] * value, np.full(many, np.inf)
    # back[i, j]: whether F0(i, j) came from a frame that was shown twice
    back = np.zeros((count, many), np.bool_)
    for row in range(1, count):
        step = factor[row] * value
        twice = again < first
        best = np.where(twice, again, first)
        back[row, 1:] = twice[:-1]
        again = first + chosen.repeat * value + step
        first = np.concatenate([[np.inf], best[:-1]]) + step
        if progress and row % 64 == 0:
            progress(row / count)
    return _traced(first, again, back)


def refuse_too_many(count: int, many: int) -> None:
    """Raise MediaTooLargeError where N = ``count`` made and M = ``many`` played frames are more pairs than
    :data:`MAX_CELLS`.
    """
    if count * many > MAX_CELLS:
        raise MediaTooLargeError(
            f"{count} x {many} frames are over the limit of {MAX_CELLS}", hint="cut the sound into parts"
        )


def _traced(first: Floats, again: Floats, back: NDArray[np.bool_]) -> Retimed:
    """The way back from the best end; of equal ends the earliest, shown once."""
    end_first, end_again = int(np.argmin(first)), int(np.argmin(again))
    repeated = bool(again[end_again] < first[end_first])
    place = end_again if repeated else end_first
    cost = float(again[place] if repeated else first[place])
    frames = np.empty(len(back))
    for row in range(len(back) - 1, -1, -1):
        frames[row] = place + 0.5 * repeated
        if repeated:
            repeated = False
        else:
            repeated = bool(back[row, place])
            place -= 1
    return Retimed(frames, cost)


def movement(landmarks: NDArray[np.floating], times: NDArray[np.floating]) -> Floats:
    """``(T,)`` how fast the head moves, 1 for as fast as its quickest twentieth of frames, at most 2.

    The mean speed of points that speech does not move, in distances between the eyes a second.

    Args:
        landmarks: ``(T, 468, 2 or 3)`` pixels, NaN where there is no face (what is unknown is 0).
        times: ``(T,)`` seconds.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    if len(points) < 2:
        return np.zeros(len(points))
    span = np.nanmedian(np.linalg.norm(points[:, _EYES[0]] - points[:, _EYES[1]], axis=-1))
    steps = np.linalg.norm(np.diff(points[:, list(_RIGID)], axis=0), axis=-1).mean(-1)
    speed = steps / np.maximum(np.diff(np.asarray(times, np.float64)), 1e-3) / max(float(span), 1e-6)
    both = np.nan_to_num(
        np.stack([np.concatenate([speed[:1], speed]), np.concatenate([speed, speed[-1:]])])
    ).mean(0)
    quick = float(np.percentile(both, _QUICK))
    return np.asarray(np.clip(both / quick, 0, 2)) if quick > 1e-6 else np.zeros(len(points))


def blinks(openness: NDArray[np.floating], times: NDArray[np.floating]) -> NDArray[np.bool_]:
    """``(T,)`` eyes shut, or about to be.

    Args:
        openness: ``(T,)`` of the eyes, in any unit; NaN where unknown.
        times: ``(T,)`` seconds.
    """
    values = np.asarray(openness, np.float64)
    if np.isnan(values).all():
        return np.zeros(len(values), bool)
    shut = np.nan_to_num(values, nan=np.inf) < _SHUT * np.nanmedian(values)
    gap = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    reach = max(1, round(_BLINK / max(gap, 1e-3)))
    return np.asarray(np.convolve(shut, np.ones(2 * reach + 1), "same") > 0)


def there_and_back(count: int, needed: int) -> NDArray[np.int64]:
    """Frames of a target that is too short for the sound, or hardly longer: played forwards, backwards, forwards,
    without a repeat where it turns, and once more there and back than needed, so that it may begin anywhere.

    Args:
        count: frames of the target.
        needed: how many shall be laid onto.

    Returns:
        ``(M,)`` indices of the target's frames: all of them once where at most 80 % of them are needed, or ``needed``
        and one there-and-back.

    Raises:
        UsageError: one frame is no footage.
    """
    if count < 2:
        raise UsageError(f"the target has {count} frame, expected two or more", hint="name a video")
    once = np.concatenate([np.arange(count), np.arange(count - 2, 0, -1)])
    return np.resize(once, needed + len(once)) if needed > _AMPLE * count else np.arange(count)


def _value(speed: NDArray[np.floating], blink: NDArray[np.bool_], weights: RetimeWeights) -> Floats:
    if np.ndim(speed) != 1 or np.shape(speed) != np.shape(blink):
        raise UsageError(f"found speeds of shape {np.shape(speed)} and blinks of {np.shape(blink)}")
    value = np.asarray(speed, np.float64) + weights.blink * np.asarray(blink, np.float64)
    if not np.isfinite(value).all() or (value < 0).any():
        raise UsageError("found speeds that are not finite or below 0")
    if min(weights.blink, weights.onset, weights.repeat) < 0:
        raise UsageError(f"weights are {weights}, expected none below 0")
    return value
