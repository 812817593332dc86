"""The tables of a log on a PostgreSQL server; see :class:`provenance.ledger.tables.Tables`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from provenance.errors import LedgerError
from provenance.ledger.checkpoints import Kept, kept_of, merged, require_kind
from provenance.ledger.embedded import described, lookup
from provenance.ledger.embedded.entries import Stored
from provenance.ledger.embedded.nodes import NodeStore
from provenance.ledger.embedded.rows import Prepared
from provenance.ledger.embedded.state import parsed_state
from provenance.ledger.note import Checkpoint, Note
from provenance.postgres import Connection
from provenance.record import MAX_OPENING_BYTES

_INDEX_MASK = (1 << lookup.INDEX_BITS) - 1
_DESCRIPTORS_AT_ONCE = 500


class PostgresNodes(NodeStore):
    """The tree's hashes, in the rows that the embedded log keeps too."""

    def __init__(self, connection: Connection) -> None:
        self._server = connection

    def _fetch(self, rows: Iterable[int]) -> dict[int, bytes]:
        query = "SELECT id, hashes FROM nodes WHERE id = ANY(%b)"
        return dict(self._server.execute(query, (sorted(rows),), binary=True))

    def _write(self, rows: Sequence[tuple[int, bytes]]) -> None:
        query = """INSERT INTO nodes(id, hashes) SELECT * FROM unnest(%b::bigint[], %b::bytea[])
            ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes"""
        self._server.execute(query, ([row for row, _ in rows], [hashes for _, hashes in rows]))


class PostgresRows:
    """The database, asked in what it has in common with SQLite: places for values are question marks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, query: str, values: tuple[Any, ...] = (), /) -> Any:
        return self._connection.execute(query.replace("?", "%s").encode(), values)


class PostgresTables:
    """Tables of an open connection, in whatever transaction the caller holds.

    Args:
        where: the database in words.
        signers: ids of signers that were met before; filled here, to be emptied when a transaction fails.
    """

    def __init__(self, connection: Connection, where: str, signers: dict[bytes, int] | None = None) -> None:
        self._connection = connection
        self._where = where
        self._signers = signers if signers is not None else {}
        self.nodes: NodeStore = PostgresNodes(connection)
        self.rows = PostgresRows(connection)

    def meta(self, key: str) -> str | None:
        """A value of the table ``meta``."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = %s", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str | None) -> None:
        """Set a value of the table ``meta``, or delete it."""
        if value is None:
            self._connection.execute("DELETE FROM meta WHERE key = %s", (key,))
            return
        self._connection.execute(
            "INSERT INTO meta(key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def state(self) -> tuple[Note, Checkpoint]:
        text = self.meta("checkpoint")
        if text is None:
            raise LedgerError(
                f"the log in {self._where} was never finished being made",
                hint="run the `veilmark ledger migrate` or `veilmark init` that began it again",
            )
        return parsed_state(text, lambda: self._where)

    def set_state(self, note: Note) -> None:
        self.set_meta("checkpoint", str(note))

    def read(self, start: int, stop: int) -> list[Stored | None]:
        query = "SELECT id, logged_at, signer, opening FROM entries WHERE id >= %s AND id < %s"
        rows = {row[0]: row[1:] for row in self._connection.execute(query, (start, stop), binary=True)}
        signers = list({signer for _, signer, _ in rows.values()})
        query = "SELECT id, head FROM signers WHERE id = ANY(%b)"
        heads: dict[int, bytes] = dict(self._connection.execute(query, (signers,), binary=True))
        return [
            Stored(row[0], heads.get(row[1]), row[2])
            if (row := rows.get(index)) and 0 < len(row[2]) <= MAX_OPENING_BYTES
            else None
            for index in range(start, stop)
        ]

    def last(self) -> int | None:
        row = self._connection.execute("SELECT max(id) FROM entries").fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def features(self, start: int, stop: int) -> dict[int, bytes]:
        query = "SELECT entry, data FROM features WHERE entry >= %s AND entry < %s"
        return dict(self._connection.execute(query, (start, stop), binary=True))

    def insert(self, start: int, items: Sequence[Prepared], times: Sequence[int]) -> None:
        numbers = range(start, start + len(items))
        signers = [self._signer(item.head) for item in items]
        self._connection.execute(
            """INSERT INTO entries(id, logged_at, signer, opening)
            SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::integer[], %b::bytea[])""",
            (list(numbers), list(times), signers, [item.stored for item in items]),
        )
        keys = sorted({key + index for index, item in zip(numbers, items, strict=True) for key in item.keys})
        self._connection.execute("INSERT INTO lookup(key) SELECT unnest(%b::bigint[])", (keys,))
        self._describe(
            [
                (index, item.features)
                for index, item in zip(numbers, items, strict=True)
                if item.features is not None
            ]
        )

    def _describe(self, rows: Sequence[tuple[int, bytes]]) -> None:
        if not rows:
            return
        for index, data in rows:  # one by one: they may be megabytes each
            self._connection.execute("INSERT INTO features(entry, data) VALUES (%s, %b)", (index, data))
        known = self._described()
        total = (known[1] + sum(described.checksum(*row) for row in rows)) % described.MODULUS
        self.set_meta("features", f"{known[0] + len(rows)} {total}")

    def _described(self) -> tuple[int, int]:
        count, total = (self.meta("features") or "").split()
        return int(count), int(total)

    def candidates(self, base_keys: Sequence[int], size: int, limit: int) -> list[int]:
        # sorted inside: one descent of the index for each key, never the whole table for each of many
        query = """SELECT DISTINCT found.key & %s FROM unnest(%b::bigint[]) AS low CROSS JOIN LATERAL
            (SELECT key FROM lookup WHERE key BETWEEN low AND low + %s ORDER BY key LIMIT %s) AS found
            ORDER BY 1 LIMIT %s"""
        values = (_INDEX_MASK, list(base_keys), _INDEX_MASK, limit, limit)
        return [int(index) for (index,) in self._connection.execute(query, values)]

    def missing(self, keys: Sequence[int]) -> list[int]:
        query = """SELECT wanted FROM unnest(%b::bigint[]) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM lookup WHERE key = wanted)"""
        return [int(key) for (key,) in self._connection.execute(query, (list(keys),))]

    def kept(
        self, *, kind: str | None = None, size: int | None = None, covering: int = 0, limit: int = 1000
    ) -> list[Kept]:
        query = """SELECT size, kind, place, note, at FROM checkpoints
            WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(size)s::bigint IS NULL OR size = %(size)s)
            AND size > %(covering)s ORDER BY size DESC, kind COLLATE "C", place COLLATE "C" LIMIT %(limit)s"""
        values = {"kind": kind, "size": size, "covering": covering, "limit": limit}
        return [kept_of(*row) for row in self._connection.execute(query, values)]

    def keep(self, note: Note, kind: str, place: str, *, at: int | None = None) -> None:
        require_kind(kind)
        size = Checkpoint.parse(note.text).size
        note = merged(note, self.kept(size=size))
        when = int(time.time()) if at is None else at
        self._connection.execute(
            """INSERT INTO checkpoints(size, kind, place, note, at) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (size, kind, place) DO UPDATE SET note = excluded.note, at = excluded.at""",
            (size, kind, place, str(note), when),
        )
        self._connection.execute("UPDATE checkpoints SET note = %s WHERE size = %s", (str(note), size))

    def numbered(self) -> int:
        row = self._connection.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM discoverable_seq_seq"
        ).fetchone()
        return int(row[0]) if row else 0

    def set_numbered(self, seq: int) -> None:
        if seq:
            self._connection.execute("SELECT setval('discoverable_seq_seq', %s)", (seq,))

    def moved(self) -> str | None:
        return self.meta("moved")

    def set_moved(self, place: str | None) -> None:
        self.set_meta("moved", place)

    def faults(self) -> Iterator[str]:
        try:
            known = self._described()
        except ValueError:
            yield described.DAMAGED_COUNT
            return
        count = total = 0
        with self._connection.cursor(name="descriptors") as cursor:
            cursor.itersize = _DESCRIPTORS_AT_ONCE
            for entry, data in cursor.execute("SELECT entry, data FROM features", binary=True):
                count, total = count + 1, (total + described.checksum(entry, data)) % described.MODULUS
        if fault := described.difference(known, (count, total)):
            yield fault

    def _signer(self, head: bytes) -> int:
        if head not in self._signers:
            self._connection.execute(
                "INSERT INTO signers(head) VALUES (%b) ON CONFLICT (sha256(head)) DO NOTHING", (head,)
            )
            row = self._connection.execute(
                "SELECT id FROM signers WHERE sha256(head) = sha256(%b)", (head,)
            ).fetchone()
            self._signers[head] = int(row[0]) if row else 0
        return self._signers[head]
