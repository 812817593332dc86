"""Exact search among millions of 256-bit fingerprints: multi-index hashing.

A code is cut into 16 pieces of 16 bits. Two codes within 31 bits of each other agree in some piece up to one
bit, because 16 pieces with two differences each make 32 (Norouzi, Punjani and Fleet, "Fast search in Hamming
space with multi-index hashing", CVPR 2012). So 16 tables, asked for 17 keys each, name every possible hit; the
rest is comparing those few.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from provenance.index import CODE_BYTES, ExactIndex, Hits, as_words, sorted_hits

_PIECES, _PIECE_BITS = 16, 16
_KEYS = 1 << _PIECE_BITS
#: New codes are compared one by one until there are so many, and this share of all: then tables are made anew.
_TAIL, _TAIL_SHARE = 50_000, 0.125
#: Beyond this radius the keys to ask for outgrow a plain comparison with everything.
_MAX_FLIPS = 1


class MultiIndex:
    """96 bytes an item; about a quarter of a per cent of the items are compared with a query."""

    def __init__(self) -> None:
        self._words = np.zeros((0, CODE_BYTES // 8), dtype=np.uint64)
        self._offsets = np.zeros((_PIECES, _KEYS + 1), dtype=np.int64)
        self._order = np.zeros((_PIECES, 0), dtype=np.uint32)
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
        flips = radius // _PIECES
        words = as_words(queries)
        found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        for number, query in enumerate(words):
            if flips <= _MAX_FLIPS:
                places = self._candidates(query, flips)
                distances = np.bitwise_count(self._words[places] ^ query).sum(axis=1, dtype=np.int64)
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
        self._order = np.empty((_PIECES, len(self._words)), dtype=np.uint32)
        for piece in range(_PIECES):
            keys = np.ascontiguousarray(pieces[:, piece])
            self._order[piece] = np.argsort(keys, kind="stable")
            self._offsets[piece, 1:] = np.cumsum(np.bincount(keys, minlength=_KEYS))

    def _candidates(self, query: NDArray[np.uint64], flips: int) -> NDArray[np.uint32]:
        keys = query.view(np.uint16)[:, None] ^ _masks(flips)[None, :]
        rows = np.arange(_PIECES)[:, None]
        first, last = self._offsets[rows, keys], self._offsets[rows, keys.astype(np.int64) + 1]
        lists = [
            self._order[piece, start:stop]
            for piece in range(_PIECES)
            for start, stop in zip(first[piece].tolist(), last[piece].tolist(), strict=True)
            if stop > start
        ]
        return np.concatenate(lists) if lists else np.zeros(0, dtype=np.uint32)


def _masks(flips: int) -> NDArray[np.uint16]:
    """Every 16-bit mask of at most ``flips`` bits."""
    masks = [
        sum(1 << bit for bit in bits)
        for count in range(flips + 1)
        for bits in itertools.combinations(range(_PIECE_BITS), count)
    ]
    return np.array(masks, dtype=np.uint16)
