"""The Merkle tree's hashes, kept so that appending costs O(1) and nothing is rebuilt on opening.

Only every fourth level is stored (0, 4, 8, ...): a hash between them is folded from at most eight stored
ones, which costs microseconds and saves almost half of the space. The hash of the perfect subtree at level
``4k`` whose last leaf is ``j`` has the row id ``16 * j + k``: ids only grow while the log grows, so the
B-tree is filled page after page and never rebalanced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from provenance.errors import LedgerError
from provenance.ledger import merkle

STRIDE = 4
WIDTH = 1 << STRIDE
#: The embedded log's limit; look-up keys keep an entry's index in 32 bits.
MAX_ENTRIES = 2**32 - 1
_IDS_PER_QUERY = 400


def row_id(tier: int, index: int) -> int:
    """Row of the hash at level ``4 * tier``, place ``index``."""
    last_leaf = ((index + 1) << (STRIDE * tier)) - 1
    return last_leaf * WIDTH + tier


class NodeStore:
    """Tree hashes in table ``nodes(id INTEGER PRIMARY KEY, hash BLOB)`` of an open connection.

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
        hashes = self._fetch(row for span in spans for row in span)
        try:
            return [merkle.fold([hashes[row] for row in span]) for span in spans]
        except KeyError as error:
            raise LedgerError(
                f"the ledger lacks the tree hash in row {error}",
                hint="the database is damaged: run `veilmark ledger audit`, then restore a backup",
            ) from error

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """Leaf hashes ``[start, stop)``."""
        return self.nodes([(0, index) for index in range(start, stop)])

    def append(self, start: int, leaf_hashes: Sequence[bytes]) -> bytes:
        """Add leaves from index ``start`` (the present size) on; returns the new root.

        Amortised one hash and 17/16 rows a leaf, plus O(log n) for the root.
        """
        rows: list[tuple[int, bytes]] = []
        pending: list[tuple[int, bytes]] = []  # roots of the incomplete blocks, lowest level first
        tier, first, fresh = 0, start, list(leaf_hashes)
        while True:
            block_start = first - first % WIDTH
            left = self.nodes([(STRIDE * tier, index) for index in range(block_start, first)])
            rows.extend((row_id(tier, first + offset), value) for offset, value in enumerate(fresh))
            row = left + fresh
            complete = len(row) // WIDTH
            parents = [merkle.fold(row[i * WIDTH : (i + 1) * WIDTH]) for i in range(complete)]
            rest = row[complete * WIDTH :]
            pending.extend(_peaks(tier, rest))
            tier, first, fresh = tier + 1, block_start // WIDTH, parents
            if first == 0 and not fresh:
                break
        rows.sort()
        self._connection.executemany("INSERT INTO nodes(id, hash) VALUES (?, ?)", rows)
        root = pending[0][1]
        for _, peak in pending[1:]:
            root = merkle.node_hash(peak, root)
        return root

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
        wanted = [part for start, stop in ranges for part in merkle.perfect_subtrees(start, stop)]
        wanted = list(dict.fromkeys(wanted))
        known = dict(zip(wanted, self.nodes(wanted), strict=True))
        return [merkle.range_hash(start, stop, lambda *key: known[key]) for start, stop in ranges]

    def _fetch(self, rows: Iterable[int]) -> dict[int, bytes]:
        ids = list(rows)
        found: dict[int, bytes] = {}
        for offset in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[offset : offset + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            found.update(self._connection.execute(f"SELECT id, hash FROM nodes WHERE id IN ({marks})", part))  # noqa: S608
        return found


def _stored_span(level: int, index: int) -> list[int]:
    """Rows of the stored hashes that fold into ``(level, index)``."""
    tier, above = divmod(level, STRIDE)
    return [row_id(tier, (index << above) + offset) for offset in range(1 << above)]


def _peaks(tier: int, hashes: list[bytes]) -> list[tuple[int, bytes]]:
    """Roots of the perfect subtrees over fewer than 16 hashes, rightmost (lowest) first."""
    parts = list(merkle.perfect_subtrees(0, len(hashes)))
    return [
        (STRIDE * tier + level, merkle.fold(hashes[index << level : (index + 1) << level]))
        for level, index in reversed(parts)
    ]
