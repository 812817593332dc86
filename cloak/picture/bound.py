"""Keeping the largest change in the written file, too, where its encoder loses something.

The search bounds the noise before encoding. Where noise and its quantisation meet, single values of the decoded file
differ further from those of the uncloaked picture in the same encoding: by 15 to 25 levels where 12 were allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: The share of all values, in percent, that must be within the bound.
PERCENTILE = 99.9
_MAX_ATTEMPTS = 40
_MIN_SCALE = 0.3
_BLOCK = 3

#: From uint8 ``(H, W, 3)`` to what the encoder leaves of it, the same size.
RoundTrip = Callable[[np.ndarray], np.ndarray]


def difference_percentile(uncloaked: np.ndarray, decoded: np.ndarray) -> float:
    """The 99.9th percentile of the absolute difference of two pictures, in levels of 255."""
    return float(np.percentile(_difference(uncloaked, decoded).astype(np.float32), PERCENTILE))


def enforce_bound(
    cloaked: np.ndarray, clean: np.ndarray, uncloaked: np.ndarray, round_trip: RoundTrip, levels: int
) -> np.ndarray:
    """The cloaked picture with as much noise taken back as keeps the encoded one within the bound.

    What is too much in the decoded picture is taken off the noise at the same places, until 99.9 % of all values are
    within the bound.

    Args:
        cloaked, clean: uint8 ``(H, W, 3)`` before encoding, with and without noise.
        uncloaked: the clean picture after encoding.
        round_trip: of the encoder.
        levels: the bound, of 255.
    """
    noise = cloaked.astype(np.float32) - clean
    for attempt in range(_MAX_ATTEMPTS):
        decoded = round_trip(cloaked)
        difference = decoded.astype(np.float32) - uncloaked
        if float(np.percentile(np.abs(difference), PERCENTILE)) <= levels:
            return cloaked
        noise -= np.sign(difference) * np.maximum(np.abs(difference) - levels, 0)
        if attempt > _MAX_ATTEMPTS // 2:
            noise *= 0.95  # what quantisation gives back is not always reached by taking off
        cloaked = np.clip(np.round(clean + noise), 0, 255).astype(np.uint8)
    return clean


def epsilon_scale_within(
    clean: np.ndarray,
    uncloaked: np.ndarray,
    round_trip: RoundTrip,
    levels: int,
    *,
    boxes: Sequence[Sequence[float]],
    seed: int = 0,
) -> float:
    """Which share of ``levels`` the search may use, so that little need be taken back: found with random
    noise in squares of three pixels, which an encoder treats about as it does what a search finds.

    Args:
        clean, uncloaked, round_trip, levels: as for :func:`enforce_bound`.
        boxes: ``x1 y1 x2 y2`` in pixels, where noise will be.
        seed: of the noise.

    Returns:
        In [0.3, 1].
    """
    height, width = clean.shape[:2]
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (-(-height // _BLOCK), -(-width // _BLOCK), 3)).astype(np.float32)
    noise = noise.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[:height, :width]
    where = np.zeros((height, width, 1), np.float32)
    for x1, y1, x2, y2 in boxes:
        where[max(0, round(y1)) : max(0, round(y2)), max(0, round(x1)) : max(0, round(x2))] = 1
    noise *= where
    low, high = _MIN_SCALE, 1.0
    for _ in range(5):
        middle = (low + high) / 2
        noisy = np.clip(np.round(clean + middle * levels * noise), 0, 255).astype(np.uint8)
        low, high = (
            (low, middle) if difference_percentile(uncloaked, round_trip(noisy)) > levels else (middle, high)
        )
    return low


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(first.astype(np.int16) - second))
