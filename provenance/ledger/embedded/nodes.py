"""The Merkle tree's hashes, kept so that appending costs O(1) and nothing is rebuilt on opening.

Only every fourth level is stored (0, 4, 8, ...), sixteen neighbours to a row: a hash between those levels
is folded from at most eight stored ones, which costs microseconds and saves half of the space. A row is named
by the leaf that completed its first hash, so that ids only grow while the log grows and the B-tree is filled
page after page.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from provenance.errors import LedgerError
from provenance.ledger import merkle
from provenance.ledger.merkle import HASH_BYTES

STRIDE = 4
WIDTH = 1 << STRIDE
#: The embedded log's limit; look-up keys keep an entry's index in 32 bits.
MAX_ENTRIES = 2**32 - 1
_IDS_PER_QUERY = 400


def row_id(tier: int, block: int) -> int:
    """Row of the hashes at level ``4 * tier``, places ``16 * block`` to ``16 * block + 15``."""
    first_complete_at = (((block << STRIDE) + 1) << (STRIDE * tier)) - 1
    return first_complete_at * WIDTH + tier


class NodeStore:
    """Tree hashes in table ``nodes(id INTEGER PRIMARY KEY, hashes BLOB)`` of an open connection.

    Methods run inside whatever transaction the caller holds.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def node(self, level: int, index: int) -> bytes:
        """Hash of a perfect subtree that the log has completed; a :data:`merkle.NodeReader`."""
        return self.nodes([(level, index)])[0]

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Hashes of several perfect subtrees, fetched together.

        Raises:
            LedgerError: a hash is missing: the database is damaged.
        """
        spans = [_stored_span(level, index) for level, index in wanted]
        blocks = self._fetch({row_id(tier, first >> STRIDE) for tier, first, _ in spans})
        return [
            merkle.fold(_cut(blocks, row_id(tier, first >> STRIDE), first % WIDTH, count))
            for tier, first, count in spans
        ]

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """Leaf hashes ``[start, stop)``."""
        return self.nodes([(0, index) for index in range(start, stop)])

    def append(self, start: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Add leaves (at least one) from index ``start``, the present size, on.

        Amortised one hash and 1/15 row a leaf, plus O(log n) for the roots.

        Returns:
            the root before, from the very hashes that are now built upon, and the root after.
        """
        rows: list[tuple[int, bytes]] = []
        root: bytes | None = None
        old_root: bytes | None = None
        tier, first, fresh = 0, start, list(leaf_hashes)
        while first or fresh:
            used = first % WIDTH
            block = first // WIDTH
            left = self._stored(tier, block, used)
            old_root = _with_peaks(left, old_root)
            row = left + fresh
            for offset in range(0, len(row), WIDTH):
                part = row[offset : offset + WIDTH]
                if fresh:
                    rows.append((row_id(tier, block + offset // WIDTH), b"".join(part)))
            complete = len(row) - len(row) % WIDTH
            root = _with_peaks(row[complete:], root)
            fresh = [merkle.fold(row[offset : offset + WIDTH]) for offset in range(0, complete, WIDTH)]
            tier, first = tier + 1, block
        rows.sort()
        self._write(rows)
        if root is None:
            raise LedgerError("nothing was appended")
        return old_root or merkle.EMPTY_ROOT, root

    def root(self, size: int) -> bytes:
        """Root of the tree over the first ``size`` leaves."""
        return self._range_hashes([(0, size)])[0] if size else merkle.EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """RFC 9162 inclusion proof of entry ``index`` in the tree of ``size``, O(log n)."""
        return self.inclusion_proofs([index], size)[0]

    def inclusion_proofs(self, indexes: Sequence[int], size: int) -> list[list[bytes]]:
        """Inclusion proofs of several entries; what they share is fetched and hashed once."""
        paths = [merkle.inclusion_ranges(index, size) for index in indexes]
        ranges = list(dict.fromkeys(part for path in paths for part in path))
        known = dict(zip(ranges, self._range_hashes(ranges), strict=True))
        return [[known[part] for part in path] for path in paths]

    def consistency_proof(self, old_size: int, size: int) -> list[bytes]:
        """RFC 9162 consistency proof from ``old_size`` to ``size``, O(log n)."""
        return self._range_hashes(merkle.consistency_ranges(old_size, size))

    def _range_hashes(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        parts = [part for start, stop in ranges for part in merkle.perfect_subtrees(start, stop)]
        wanted = list(dict.fromkeys(parts))
        known = dict(zip(wanted, self.nodes(wanted), strict=True))
        return [merkle.range_hash(start, stop, lambda *key: known[key]) for start, stop in ranges]

    def _stored(self, tier: int, block: int, count: int) -> list[bytes]:
        """The first ``count`` hashes of a row."""
        if not count:
            return []
        row = row_id(tier, block)
        return _cut(self._fetch([row]), row, 0, count)

    def _fetch(self, rows: Iterable[int]) -> dict[int, bytes]:
        ids = list(rows)
        found: dict[int, bytes] = {}
        for offset in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[offset : offset + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT id, hashes FROM nodes WHERE id IN ({marks})"  # noqa: S608 only question marks
            found.update(self._connection.execute(query, part))
        return found

    def _write(self, rows: Sequence[tuple[int, bytes]]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO nodes(id, hashes) VALUES (?, ?)", rows)


def _stored_span(level: int, index: int) -> tuple[int, int, int]:
    """``(tier, first, count)`` of the stored hashes that fold into ``(level, index)``; all in one row."""
    tier, above = divmod(level, STRIDE)
    return tier, index << above, 1 << above


def _cut(blocks: dict[int, bytes], row: int, first: int, count: int) -> list[bytes]:
    block = blocks.get(row, b"")
    if len(block) < (first + count) * HASH_BYTES:
        raise LedgerError(
            f"the ledger lacks tree hashes in row {row}",
            hint="the database is damaged: run `veilmark ledger audit`, then restore a backup",
        )
    return [block[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(first, first + count)]


def _with_peaks(hashes: list[bytes], right: bytes | None) -> bytes | None:
    """Root over fewer than 16 hashes and what lies to the right of them."""
    for level, index in reversed(list(merkle.perfect_subtrees(0, len(hashes)))):
        peak = merkle.fold(hashes[index << level : (index + 1) << level])
        right = peak if right is None else merkle.node_hash(peak, right)
    return right
