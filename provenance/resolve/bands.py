"""Asking without showing: a few bits of a fingerprint instead of all, and the rest is compared at home.

A PDQ hash is cut into 16 bands of 16 bits, as :mod:`provenance.search.multi_index` cuts it. The asker names the first
bits of one band, always the same one, and gets every public record whose band begins so up to one bit. It takes as many
bits as leave at least ``k`` records in the answer, going by how many records each beginning has, which the service
tells everybody alike. So the service learns these bits, and not which of the ``k`` records, if any, was meant. Where it
has fewer than ``k`` records, the asker takes them all and tells nothing.

Only one band is ever asked about: several would together tell the whole hash, and a second question about the same
picture tells nothing new. It is the last band, of the lowest frequencies, whose bits change least when a picture is
compressed or scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

BAND, BAND_BITS = 15, 16
#: In so many of the bits that were asked for a record may differ.
FLIPS = 1
#: A service tells counts for so few records a beginning on average, and for this many bits at most.
_SPARSE, MAX_BITS = 4, 16
DEFAULT_K = 32
_MOST = 1 << 40


@dataclass(frozen=True)
class Question:
    """The first ``bits`` bits of the band, as a number; 0 bits ask for everything."""

    bits: int
    prefix: int

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= MAX_BITS or not 0 <= self.prefix < 1 << self.bits:
            raise UsageError(
                f"{self.prefix} is no beginning of {self.bits} bits",
                hint=f"0 to {MAX_BITS} bits, a number below 2**bits",
            )

    def beginnings(self) -> list[int]:
        """The beginnings that an answer holds: this one, and those that differ in one bit."""
        return [self.prefix, *(self.prefix ^ (1 << bit) for bit in range(self.bits))]


def band_of(pdq: bytes) -> int:
    """The band of a 32-byte hash, a 16-bit number."""
    return int.from_bytes(pdq[2 * BAND : 2 * BAND + 2], "big")


def counts_of(bands: NDArray[np.uint16]) -> list[int]:
    """How many records each beginning has; the list's length is a power of two, larger where there are more records."""
    bits = min(MAX_BITS, max(0, len(bands).bit_length() - _SPARSE.bit_length() + 1))
    return [int(one) for one in np.bincount(bands >> np.uint16(BAND_BITS - bits), minlength=1 << bits)]


def choose(pdq: bytes, counts: Sequence[int], k: int) -> tuple[Question, int]:
    """The longest question about a hash that at least ``k`` records answer, and how many do.

    Args:
        pdq: 32 bytes.
        counts: what :func:`counts_of` gave; the service says so, and may lie (see docs/guides/platforms.md).
        k: among how many records the asker wants to hide, 1 or more.

    Raises:
        UsageError: the counts are none.
    """
    bits = len(counts).bit_length() - 1
    if not 0 <= bits <= MAX_BITS or len(counts) != 1 << bits or k < 1:
        raise UsageError(f"{len(counts)} counts are no power of two up to {1 << MAX_BITS}")
    if not all(0 <= one <= _MOST for one in counts):
        raise UsageError(f"a count is not between 0 and {_MOST}")
    found = np.asarray(counts, dtype=np.int64)
    for length in range(bits, 0, -1):
        question = Question(length, band_of(pdq) >> (BAND_BITS - length))
        answered = int(found[question.beginnings()].sum())
        if answered >= k:
            return question, answered
        found = found.reshape(-1, 2).sum(axis=1)
    return Question(0, 0), int(found.sum())


def answering(bands: NDArray[np.uint16], question: Question) -> NDArray[np.int64]:
    """Places of the records that a question gets, in order."""
    if question.bits == 0:
        return np.arange(len(bands), dtype=np.int64)
    begin = bands >> np.uint16(BAND_BITS - question.bits)
    different = np.bitwise_count(begin ^ np.uint16(question.prefix))
    return np.flatnonzero(different <= FLIPS)
