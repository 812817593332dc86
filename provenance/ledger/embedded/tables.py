"""The tables of a log in an SQLite file; see :class:`provenance.ledger.tables.Tables`."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence

from provenance.ledger import checkpoints
from provenance.ledger.checkpoints import Kept
from provenance.ledger.embedded import described, lookup
from provenance.ledger.embedded.entries import EntryStore, Stored
from provenance.ledger.embedded.nodes import NodeStore
from provenance.ledger.embedded.rows import Prepared
from provenance.ledger.embedded.state import current
from provenance.ledger.note import Checkpoint, Note


class SqliteTables:
    """Tables of an open connection, in whatever transaction the caller holds.

    Args:
        signers: ids of signers that were met before; filled here, to be emptied when a transaction fails.
    """

    def __init__(self, connection: sqlite3.Connection, signers: dict[bytes, int] | None = None) -> None:
        self._connection = connection
        self._signers = signers if signers is not None else {}
        self.nodes = NodeStore(connection)
        self.rows = connection

    def state(self) -> tuple[Note, Checkpoint]:
        return current(self._connection)

    def set_state(self, note: Note) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO meta(key, value) VALUES ('checkpoint', ?)", (str(note),)
        )

    def read(self, start: int, stop: int) -> list[Stored | None]:
        return EntryStore(self._connection).read(start, stop)

    def last(self) -> int | None:
        return EntryStore(self._connection).last()

    def features(self, start: int, stop: int) -> dict[int, bytes]:
        query = "SELECT entry, data FROM features WHERE entry >= ? AND entry < ?"
        return dict(self._connection.execute(query, (start, stop)))

    def insert(self, start: int, items: Sequence[Prepared], times: Sequence[int]) -> None:
        entries = EntryStore(self._connection)
        numbered = list(enumerate(items, start=start))
        for when, part in itertools.groupby(zip(numbered, times, strict=True), key=lambda pair: pair[1]):
            rows = [row for row, _ in part]
            openings = [item.stored for _, item in rows]
            entries.append(rows[0][0], openings, [self._signer(item.head) for _, item in rows], when)
        lookup.insert(self._connection, (key + index for index, item in numbered for key in item.keys))
        described.insert(
            self._connection,
            [(index, item.features) for index, item in numbered if item.features is not None],
        )
        lookup.settle(self._connection, start, start + len(items))

    def candidates(self, base_keys: Sequence[int], size: int, limit: int) -> list[int]:
        return lookup.candidates(self._connection, base_keys, size, limit)

    def missing(self, keys: Sequence[int]) -> list[int]:
        return lookup.missing(self._connection, keys)

    def kept(
        self, *, kind: str | None = None, size: int | None = None, covering: int = 0, limit: int = 1000
    ) -> list[Kept]:
        return checkpoints.select(self._connection, kind=kind, size=size, covering=covering, limit=limit)

    def keep(self, note: Note, kind: str, place: str, *, at: int | None = None) -> None:
        checkpoints.keep(self._connection, note, kind, place, at=at)

    def numbered(self) -> int:
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'discoverable'"
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def set_numbered(self, seq: int) -> None:
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'discoverable'")
        self._connection.execute("INSERT INTO sqlite_sequence(name, seq) VALUES ('discoverable', ?)", (seq,))

    def moved(self) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'moved'").fetchone()
        return None if row is None else str(row[0])

    def set_moved(self, place: str | None) -> None:
        self._connection.execute("DELETE FROM meta WHERE key = 'moved'")
        if place is not None:
            self._connection.execute("INSERT INTO meta(key, value) VALUES ('moved', ?)", (place,))

    def faults(self) -> Iterator[str]:
        for (finding,) in self._connection.execute("PRAGMA quick_check(10)"):
            if finding != "ok":
                yield f"the database file is damaged: {finding[:200]}"
        if fault := described.fault(self._connection):
            yield fault

    def _signer(self, head: bytes) -> int:
        if head not in self._signers:
            self._connection.execute("INSERT OR IGNORE INTO signers(head) VALUES (?)", (head,))
            query = "SELECT id FROM signers WHERE head = ?"
            self._signers[head] = self._connection.execute(query, (head,)).fetchone()[0]
        return self._signers[head]
