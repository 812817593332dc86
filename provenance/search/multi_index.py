"""Exact search among millions of 256-bit fingerprints: multi-index hashing.

A code is cut into 16 pieces of 16 bits. Two codes within 31 bits of each other agree in some piece up to one
bit, because 16 pieces with two differences each make 32 (Norouzi, Punjani and Fleet, "Fast search in Hamming
space with multi-index hashing", CVPR 2012). So 16 tables, asked for 17 keys each, name every possible hit; the
rest is comparing those few.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from provenance.search.hash_index import CODE_BYTES, ExactIndex, Hits, as_words, sorted_hits

PIECES, _PIECE_BITS = 16, 16
_KEYS = 1 << _PIECE_BITS
#: New codes are compared one by one until there are so many, and this share of all: then tables are made anew.
_TAIL, _TAIL_SHARE = 50_000, 0.125
#: Beyond this radius the keys to ask for outgrow a plain comparison with everything.
MAX_FLIPS = 1


class MultiIndex:
    """96 bytes an item; about a quarter of a per cent of the items are compared with a query."""

    def __init__(self) -> None:
        self._words = np.zeros((0, CODE_BYTES // 8), dtype=np.uint64)
        # of all tables, one after the other: where each key's items begin, and the items by key
        self._offsets = np.zeros(PIECES * (_KEYS + 1), dtype=np.int64)
        self._order = np.zeros(0, dtype=np.uint32)
        self._tail = ExactIndex()
        self._pending: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return len(self._words) + len(self._tail)

    def add(self, codes: NDArray[np.uint8]) -> None:
        self._pending.append(as_words(codes).copy())
        self._tail.add(codes)
        if len(self) > np.iinfo(np.uint32).max:
            raise ValueError(f"{len(self)} codes are more than one index holds")

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        if len(self._tail) > max(_TAIL, _TAIL_SHARE * len(self._words)):
            self._build()
        flips = radius // PIECES
        words = as_words(queries)
        found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        for number, query in enumerate(words):
            if flips <= MAX_FLIPS:
                places = self._candidates(query, flips)
                bits = np.bitwise_count(np.take(self._words, places, axis=0) ^ query).astype(np.uint16)
                distances = (bits[:, 0] + bits[:, 1] + bits[:, 2] + bits[:, 3]).astype(np.int64)
                near = distances <= radius
                items, first = np.unique(places[near].astype(np.int64), return_index=True)
                found.append((number, items, distances[near][first]))
            else:
                distances = np.bitwise_count(self._words ^ query).sum(axis=1, dtype=np.int64)
                items = np.flatnonzero(distances <= radius).astype(np.int64)
                found.append((number, items, distances[items]))
        for number, item, distance in zip(*self._tail.search(queries, radius), strict=True):
            found.append((int(number), np.array([item + len(self._words)]), np.array([distance])))
        return sorted_hits(found)

    def _build(self) -> None:
        self._words = np.concatenate([self._words, *self._pending])
        self._pending.clear()
        self._tail = ExactIndex()
        pieces = self._words.view(np.uint16)
        count = len(self._words)
        self._order = np.empty(PIECES * count, dtype=np.uint32)
        offsets = self._offsets.reshape(PIECES, _KEYS + 1)
        for piece in range(PIECES):
            keys = np.ascontiguousarray(pieces[:, piece])
            self._order[piece * count : (piece + 1) * count] = np.argsort(keys, kind="stable")
            offsets[piece, 0] = piece * count
            offsets[piece, 1:] = piece * count + np.cumsum(np.bincount(keys, minlength=_KEYS))

    def _candidates(self, query: NDArray[np.uint64], flips: int) -> NDArray[np.uint32]:
        """Every item that agrees with the query in some piece up to ``flips`` bits; some more than once."""
        keys = (query.view(np.uint16)[:, None] ^ masks(flips)[None, :]).astype(np.int64)
        cells = keys + (np.arange(PIECES) * (_KEYS + 1))[:, None]
        first = np.take(self._offsets, cells).reshape(-1)
        lengths = np.take(self._offsets, cells + 1).reshape(-1) - first
        ends = np.cumsum(lengths)
        places = np.repeat(first - (ends - lengths), lengths) + np.arange(ends[-1])
        return np.take(self._order, places)


@lru_cache(maxsize=4)
def masks(flips: int) -> NDArray[np.uint16]:
    """Every 16-bit mask of at most ``flips`` bits."""
    masks = [
        sum(1 << bit for bit in bits)
        for count in range(flips + 1)
        for bits in itertools.combinations(range(_PIECE_BITS), count)
    ]
    return np.array(masks, dtype=np.uint16)
