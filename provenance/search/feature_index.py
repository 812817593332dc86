"""Which of many pictures share local features with one: candidates for :mod:`provenance.fingerprint.geometry`.

Every descriptor is filed in two sorted tables under 24 of its bits (locality-sensitive hashing by bit sampling,
Indyk and Motwani 1998). A posting holds 32 further bits and the point's angle, so a vote is checked without
touching the descriptor, and counts only together with votes for about the same turn (weak geometric consistency,
Jegou et al. 2008). Tables are plain arrays: they are built in memory, kept as files and mapped, never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from provenance.fingerprint.features import LocalFeatures

_TABLES = 2
_KEY_BYTES, _CHECK_BYTES = 3, 4
_ROW_BYTES = _KEY_BYTES + _CHECK_BYTES
_KEY_SHIFT, _CHECK_SHIFT = np.uint64(40), np.uint64(8)
_CHECK_MASK, _ANGLE_MASK = np.uint64(0xFFFFFFFF), np.uint64(0xFF)
_MAX_CHECK_BITS = 7
_ANGLE_BINS = 16
#: Over so many postings the most crowded keys are left out: they say least and cost most.
_MAX_POSTINGS = 6_000_000


@dataclass(frozen=True)
class FeatureSegment:
    """An immutable part of the index.

    Attributes:
        items: ``(P,)`` int64, what each picture is called outside.
        postings: per table, ``(N,)`` uint64, sorted: 24 bits key, 32 bits check, 8 bits angle.
        owners: per table, ``(N,)`` uint32, the picture (a position in ``items``) of each posting.
    """

    items: NDArray[np.int64]
    postings: tuple[NDArray[np.uint64], ...]
    owners: tuple[NDArray[np.uint32], ...]

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def build(cls, pictures: Sequence[tuple[int, LocalFeatures]]) -> FeatureSegment:
        """File the features of ``(item, features)`` pairs."""
        items = np.array([item for item, _ in pictures], dtype=np.int64)
        counts = [len(features) for _, features in pictures]
        owner = np.repeat(np.arange(len(pictures), dtype=np.uint32), counts)
        rows = [_postings(features) for _, features in pictures]
        tables = [np.concatenate([row[table] for row in rows] or [_none()]) for table in range(_TABLES)]
        return cls._sorted(items, tables, [owner] * _TABLES)

    @classmethod
    def merge(cls, segments: Sequence[FeatureSegment]) -> FeatureSegment:
        """One segment with the content of several."""
        items = np.concatenate([segment.items for segment in segments])
        starts = np.cumsum([0] + [len(segment) for segment in segments[:-1]]).astype(np.uint32)
        postings, owners = [], []
        for table in range(_TABLES):
            postings.append(np.concatenate([segment.postings[table] for segment in segments]))
            moved = [s.owners[table] + start for s, start in zip(segments, starts, strict=True)]
            owners.append(np.concatenate(moved))
        return cls._sorted(items, postings, owners)

    @classmethod
    def _sorted(
        cls,
        items: NDArray[np.int64],
        postings: Sequence[NDArray[np.uint64]],
        owners: Sequence[NDArray[np.uint32]],
    ) -> FeatureSegment:
        orders = [np.argsort(rows) for rows in postings]
        return cls(
            items=items,
            postings=tuple(rows[order] for rows, order in zip(postings, orders, strict=True)),
            owners=tuple(rows[order] for rows, order in zip(owners, orders, strict=True)),
        )

    def save(self, folder: Path) -> None:
        """Write the arrays as ``.npy`` files into a new folder."""
        folder.mkdir(parents=True)
        np.save(folder / "items.npy", self.items)
        for table in range(_TABLES):
            np.save(folder / f"postings{table}.npy", self.postings[table])
            np.save(folder / f"owners{table}.npy", self.owners[table])

    @classmethod
    def load(cls, folder: Path) -> FeatureSegment:
        """Map what :meth:`save` wrote.

        Raises:
            OSError, ValueError: missing or damaged files.
        """
        items = np.load(folder / "items.npy", allow_pickle=False)
        postings, owners = [], []
        for table in range(_TABLES):
            postings.append(np.load(folder / f"postings{table}.npy", mmap_mode="r", allow_pickle=False))
            owners.append(np.load(folder / f"owners{table}.npy", mmap_mode="r", allow_pickle=False))
            fits = postings[table].dtype == np.uint64 and owners[table].dtype == np.uint32
            if not fits or postings[table].shape != owners[table].shape or postings[table].ndim != 1:
                raise ValueError(f"{folder.name} holds other arrays than a feature segment does")
        if items.dtype != np.int64 or items.ndim != 1:
            raise ValueError(f"{folder.name} holds other arrays than a feature segment does")
        return cls(items, tuple(postings), tuple(owners))

    def vote(self, query: LocalFeatures, best: int) -> list[tuple[int, int]]:
        """``(item, votes)`` of the at most ``best`` pictures with the most votes, most first."""
        if not len(self) or not len(query):
            return []
        asked = _postings(query)
        ballots = [
            self._ballots(self.postings[table], self.owners[table], asked[table]) for table in range(_TABLES)
        ]
        counts = np.bincount(np.concatenate(ballots), minlength=len(self) * _ANGLE_BINS)
        by_turn = counts[: len(self) * _ANGLE_BINS].reshape(len(self), _ANGLE_BINS)
        scores = (by_turn + np.roll(by_turn, -1, axis=1)).max(axis=1)
        top = np.argsort(-scores, kind="stable")[:best] if best < len(scores) else np.argsort(-scores)
        return [(int(self.items[owner]), int(scores[owner])) for owner in top if scores[owner]]

    def _ballots(
        self, postings: NDArray[np.uint64], owners: NDArray[np.uint32], asked: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Picture and turn, as one number, of every posting that agrees with one of the asked."""
        asked = np.sort(asked)
        keys = asked >> _KEY_SHIFT
        first = np.searchsorted(postings, keys << _KEY_SHIFT, side="left")
        last = np.searchsorted(
            postings, (keys << _KEY_SHIFT) | ((np.uint64(1) << _KEY_SHIFT) - np.uint64(1)), "right"
        )
        lengths = last - first
        if lengths.sum() > _MAX_POSTINGS:
            order = np.argsort(lengths, kind="stable")
            crowded = order[np.cumsum(lengths[order]) > _MAX_POSTINGS]
            lengths[crowded] = 0
        which = np.repeat(np.arange(len(asked)), lengths)
        starts = np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
        places = starts + np.arange(len(which))
        found, wanted = postings[places], asked[which]
        near = np.bitwise_count(((found ^ wanted) >> _CHECK_SHIFT) & _CHECK_MASK) <= _MAX_CHECK_BITS
        # letters and patterns repeat: a posting votes once, however many points of the query are like it
        chosen, first_vote = np.unique(places[near], return_index=True)
        turn = ((found[near] & _ANGLE_MASK) - (wanted[near] & _ANGLE_MASK)) & _ANGLE_MASK
        bins = turn[first_vote].astype(np.int64) * _ANGLE_BINS // 256
        return np.asarray(owners[chosen].astype(np.int64) * _ANGLE_BINS + bins, dtype=np.int64)


def _postings(features: LocalFeatures) -> list[NDArray[np.uint64]]:
    """Per table, ``(N,)`` uint64, unsorted."""
    angles = np.round(features.angles * (256 / 360)).astype(np.uint64) & _ANGLE_MASK
    tables = []
    for table in range(_TABLES):
        bits = features.descriptors[:, table * _ROW_BYTES : (table + 1) * _ROW_BYTES]
        row = np.zeros((len(features), 8), dtype=np.uint8)
        row[:, :_ROW_BYTES] = bits
        tables.append(row.view(">u8").reshape(-1).astype(np.uint64) | angles)
    return tables


def _none() -> NDArray[np.uint64]:
    return np.zeros(0, dtype=np.uint64)
