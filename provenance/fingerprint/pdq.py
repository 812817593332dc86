"""PDQ, a perceptual hash of pictures: 256 bits and a quality from 0 to 100.

The algorithm is Meta's ("The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019,
section 2): luminance, two passes of a box filter along each axis (a "Jarosz filter"), 64 x 64 samples, the
lowest 16 x 16 non-constant terms of a DCT-II, each compared with their median.

Filter and sampling are linear along each axis, so both are one banded matrix per axis here, and a hash costs
two matrix products. Bits are laid out as the reference prints them: the first byte holds the highest
frequencies of the rows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 256
BYTES = 32
#: Below this quality a picture has too little structure for its hash to identify it (Meta's own threshold).
MIN_QUALITY = 50
#: Hashes at this Hamming distance or below count as near duplicates (Meta's own threshold).
MATCH_DISTANCE = 31

#: The order of :func:`pdq_variants`: what was done to the picture, counter-clockwise quarter turns.
VARIANTS = (
    "upright",
    "turned 90",
    "turned 180",
    "turned 270",
    "mirrored",
    "flipped",
    "transposed",
    "anti-transposed",
)

_SIDE = 64
_TERMS = 16
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_ROWS_AT_ONCE = 256


def pdq_hash(pixels: NDArray[np.uint8]) -> tuple[bytes, int]:
    """The PDQ hash and quality of one picture.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB or ``(H, W)`` uint8 grey, upright.

    Returns:
        32 bytes, and the quality from 0 (flat) to 100.

    Raises:
        ValueError: the array has another shape or type, or no pixels.
    """
    (samples,) = _samples(pixels)
    return _bits(_spectrum(samples)).tobytes(), _quality(samples)


def pdq_variants(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The hashes of the picture and its seven turned and mirrored forms, read from the pixels once.

    Args:
        pixels: as for :func:`pdq_hash`.

    Returns:
        ``(8, 32)`` uint8 in the order of :data:`VARIANTS`, and the quality. Each row is exactly what
        :func:`pdq_hash` gives for the turned pixels. (Negating every other DCT term, as the reference does, is
        up to 30 bits off for small pictures, because the filter's windows are not symmetric.)
    """
    upright, mirrored, flipped, half_turned = _samples(pixels, both_ways=True)
    forms = (upright, mirrored.T, half_turned, flipped.T, mirrored, flipped, upright.T, half_turned.T)
    return np.stack([_bits(_spectrum(form)) for form in forms]), _quality(upright)


def hamming(first: bytes, second: bytes) -> int:
    """The number of bits in which two hashes of equal length differ."""
    if len(first) != len(second):
        raise ValueError(f"hashes of {len(first)} and {len(second)} bytes cannot be compared")
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()


def _samples(pixels: NDArray[np.uint8], *, both_ways: bool = False) -> list[NDArray[np.float32]]:
    """64 x 64 smoothed luminance, 0..255; ``both_ways`` adds that of the mirrored, flipped, half-turned."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"expected uint8 (H, W, 3) or (H, W), got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if height == 0 or width == 0:
        raise ValueError("the picture has no pixels")
    columns, rows = [_sampler(width)], [_sampler(height)]
    if both_ways:
        columns.append(columns[0][:, ::-1])
        rows.append(rows[0][:, ::-1])
    across = np.concatenate(columns).T
    narrow = np.empty((height, across.shape[1]), dtype=np.float32)
    for top in range(0, height, _ROWS_AT_ONCE):
        block = pixels[top : top + _ROWS_AT_ONCE].astype(np.float32)
        luma = block @ _LUMA if block.ndim == 3 else block
        narrow[top : top + _ROWS_AT_ONCE] = luma @ across
    halves = [narrow[:, start : start + _SIDE] for start in range(0, across.shape[1], _SIDE)]
    return [np.asarray(down @ half, dtype=np.float32) for down in rows for half in halves]


@lru_cache(maxsize=64)
def _sampler(length: int) -> NDArray[np.float32]:
    """``(64, length)``: two box filters and the choice of 64 samples along one axis, as one matrix."""
    window = -(-length // (2 * _SIDE))
    ahead = (window + 2) // 2 - 1
    behind = window - ahead - 1
    centres = ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(int)
    # the filter twice: the mean, over the window around a centre, of means over the window around each place
    steps = np.zeros((_SIDE, length + 1))
    places = centres[:, None] + np.arange(-behind, ahead + 1)
    inside = (places >= 0) & (places < length)
    share = 1.0 / inside.sum(axis=1, keepdims=True)
    first = np.clip(places - behind, 0, length)
    last = np.clip(places + ahead + 1, 0, length)
    weight = np.where(inside, share / np.maximum(last - first, 1), 0.0)
    sample = np.broadcast_to(np.arange(_SIDE)[:, None], places.shape)
    np.add.at(steps, (sample, first), weight)
    np.subtract.at(steps, (sample, last), weight)
    return np.asarray(np.cumsum(steps, axis=1)[:, :length], dtype=np.float32)


@lru_cache(maxsize=1)
def _dct() -> NDArray[np.float32]:
    """``(16, 64)``: terms 1 to 16 of a DCT-II of 64 samples."""
    term, sample = np.arange(1, _TERMS + 1)[:, None], np.arange(_SIDE)[None, :]
    matrix = np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * term * (2 * sample + 1))
    return np.asarray(matrix, dtype=np.float32)


def _spectrum(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(_dct() @ samples @ _dct().T, dtype=np.float32)


def _bits(spectrum: NDArray[np.float32]) -> NDArray[np.uint8]:
    flat = spectrum.reshape(-1)
    median = np.partition(flat, BITS // 2 - 1)[BITS // 2 - 1]
    return np.asarray(np.packbits((flat > median)[::-1]), dtype=np.uint8)


def _quality(samples: NDArray[np.float32]) -> int:
    """The sum of the differences between neighbours, in whole per cent of the range, over 90; at most 100."""
    steps = 0
    for axis in (0, 1):
        steps += int(np.abs(np.trunc(np.diff(samples, axis=axis) * 100 / 255)).sum())
    return min(steps // 90, 100)
