"""Where in a longer recording an excerpt begins: frames and sounds laid against each other in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.fingerprint.pdq import MATCH_DISTANCE, MIN_QUALITY
from provenance.fingerprint.sound import HOP, PHASES, RATE, SoundFingerprint
from provenance.fingerprint.video import VideoFingerprint

#: So many frames, over so many milliseconds, must agree; and this share of those that could.
MIN_FRAMES, MIN_SPAN_MS, MIN_SHARE = 8, 700, 0.6
#: A stretch of sound agrees when at most this share of its bits differ; other sounds differ in some 45 %.
MAX_BIT_ERRORS = 0.28
_STEP_MS = 20.0
_MAX_OFFSETS = 60_000
#: Sound is compared in stretches of about three seconds, a shorter one whole.
_STRETCH, _SHORTEST, _MAX_STRETCHES = 64, 40, 8


@dataclass(frozen=True)
class Alignment:
    """An excerpt found.

    Attributes:
        offset: where in the original the excerpt's first moment lies, seconds (negative: it begins before).
        error: mean of differing bits: of 256 a frame for video, a share 0..1 for sound.
        agreeing: frames, or stretches of sound, that agree.
    """

    offset: float
    error: float
    agreeing: int


def align_video(excerpt: VideoFingerprint, original: VideoFingerprint) -> Alignment | None:
    """Lay the excerpt's frames against the original's at every offset; None where too few agree."""
    usable = excerpt.qualities >= MIN_QUALITY
    times = excerpt.times[usable].astype(np.float64)
    if len(times) < MIN_FRAMES or len(original) < MIN_FRAMES:
        return None
    distances = _distances(excerpt.codes[usable], original.codes)
    distances[:, original.qualities < MIN_QUALITY] = 256
    marks = original.times.astype(np.float64)
    gap = float(np.median(np.diff(marks)))
    first, last = marks[0] - times[-1], marks[-1] - times[0]
    step = max(min(_STEP_MS, gap / 4), (last - first) / _MAX_OFFSETS)
    best: tuple[float, float, NDArray[np.bool_], NDArray[np.int16], NDArray[np.bool_]] | None = None
    for offset in np.arange(first, last + step, step):
        wanted = times + offset
        right = np.clip(np.searchsorted(marks, wanted), 1, len(marks) - 1)
        nearest = np.where(wanted - marks[right - 1] < marks[right] - wanted, right - 1, right)
        inside = np.abs(marks[nearest] - wanted) <= gap
        apart = distances[np.arange(len(times)), nearest]
        agree = inside & (apart <= MATCH_DISTANCE)
        score = float((MATCH_DISTANCE + 1 - apart[agree]).sum())
        if best is None or score > best[0]:
            best = (score, float(offset), agree, apart, inside)
    if best is None:
        return None
    _, offset, agree, apart, inside = best
    count = int(agree.sum())
    if count < MIN_FRAMES or np.ptp(times[agree]) < MIN_SPAN_MS or count < MIN_SHARE * int(inside.sum()):
        return None
    return Alignment(offset / 1000, float(apart[agree].mean()), count)


def align_sound(excerpt: SoundFingerprint, original: SoundFingerprint) -> Alignment | None:
    """Slide stretches of the excerpt along the original; None where none agrees."""
    found: list[tuple[float, float]] = []
    for start, length in _stretches(excerpt):
        if len(original) < length:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(original.codes, length)
        for phase, row in enumerate(excerpt.phases):
            errors = np.bitwise_count(windows ^ row[start : start + length]).sum(axis=1, dtype=np.int64)
            place = int(errors.argmin())
            share = float(errors[place]) / (32 * length)
            found.append((share, (place - start - phase / PHASES) * HOP / RATE))
    if not found or min(found)[0] > MAX_BIT_ERRORS:
        return None
    error, offset = min(found)
    agreeing = sum(1 for share, other in found if share <= MAX_BIT_ERRORS and abs(other - offset) < 0.1)
    return Alignment(offset, error, agreeing)


def _stretches(excerpt: SoundFingerprint) -> list[tuple[int, int]]:
    """``(start, length)`` of up to eight stretches that carry information: no silence, no steady tone."""
    length = min(_STRETCH, len(excerpt))
    if length < _SHORTEST:
        return []
    starts = np.unique(np.linspace(0, len(excerpt) - length, 4 * _MAX_STRETCHES).astype(int))
    lively = [int(start) for start in starts if _is_lively(excerpt.codes[start : start + length])]
    step = max(1, -(-len(lively) // _MAX_STRETCHES))
    return [(start, length) for start in lively[::step]]


def _is_lively(codes: NDArray[np.uint32]) -> bool:
    share = float(np.bitwise_count(codes).mean()) / 32
    return len(np.unique(codes)) >= 0.5 * len(codes) and 0.25 < share < 0.75


def _distances(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.int16]:
    a = np.ascontiguousarray(first).view(np.uint64)
    b = np.ascontiguousarray(second).view(np.uint64)
    total = np.zeros((len(a), len(b)), dtype=np.int16)
    for word in range(a.shape[1]):
        total += np.bitwise_count(a[:, word, None] ^ b[None, :, word])
    return total
