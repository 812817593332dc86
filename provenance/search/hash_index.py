"""Search among 256-bit fingerprints: everything within a Hamming distance.

:class:`ExactIndex` compares with every fingerprint and needs no structure. :mod:`provenance.search.multi_index` gives
the same answers faster among millions.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

CODE_BYTES = 32
_WORDS = CODE_BYTES // 8
_ITEMS_AT_ONCE = 1 << 15


class Hits(NamedTuple):
    """What a search found, sorted by query, then distance, then item: three arrays of one length."""

    queries: NDArray[np.int64]
    items: NDArray[np.int64]
    distances: NDArray[np.int64]


class Searchable(Protocol):
    """A collection of 32-byte codes that can be searched."""

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        """Every item within ``radius`` bits of each of the ``(Q, 32)`` uint8 queries."""
        ...


class Index(Searchable, Protocol):
    """A growing collection of 32-byte codes; an item is named by its position of insertion."""

    def __len__(self) -> int: ...

    def add(self, codes: NDArray[np.uint8]) -> None:
        """Append ``(N, 32)`` uint8 codes."""
        ...


class ExactIndex:
    """Brute force, in NumPy; about 6 ms a query and million items."""

    def __init__(self) -> None:
        # one row a word: whole columns then pass through the popcount without a strided sum
        self._words = np.zeros((_WORDS, 0), dtype=np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, codes: NDArray[np.uint8]) -> None:
        words = as_words(codes)
        needed = self._count + len(words)
        if needed > self._words.shape[1]:
            grown = np.zeros((_WORDS, max(needed, 2 * self._words.shape[1])), dtype=np.uint64)
            grown[:, : self._count] = self._words[:, : self._count]
            self._words = grown
        self._words[:, self._count : needed] = words.T
        self._count = needed

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        words = as_words(queries)
        for start in range(0, self._count, _ITEMS_AT_ONCE):
            block = self._words[:, start : min(start + _ITEMS_AT_ONCE, self._count)]
            for number, query in enumerate(words):
                distances = np.bitwise_count(block[0] ^ query[0]).astype(np.uint16)
                for row, word in zip(block[1:], query[1:], strict=True):
                    distances += np.bitwise_count(row ^ word)
                near = np.flatnonzero(distances <= radius)
                if len(near):
                    found.append((number, near + start, distances[near].astype(np.int64)))
        return sorted_hits(found)


def as_words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """``(N, 32)`` uint8 codes as ``(N, 4)`` uint64.

    Raises:
        ValueError: another shape or type.
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != CODE_BYTES:
        raise ValueError(f"expected (N, {CODE_BYTES}) uint8 codes, got {codes.dtype} {codes.shape}")
    return np.ascontiguousarray(codes).view(np.uint64)


def sorted_hits(found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]) -> Hits:
    """Join per-query items and distances into :class:`Hits`."""
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return Hits(empty, empty, empty)
    queries = np.concatenate([np.full(len(items), number, dtype=np.int64) for number, items, _ in found])
    items = np.concatenate([items for _, items, _ in found])
    distances = np.concatenate([distances for _, _, distances in found])
    order = np.lexsort((items, distances, queries))
    return Hits(queries[order], items[order], distances[order])
