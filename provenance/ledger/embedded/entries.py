"""The openings of all entries, packed: an append-only run of bytes, cut into rows that fill a page each.

Stored one to a row, records of about 900 bytes would leave a tenth of every page empty. Here they follow each
other in ``chunks``; ``entries`` says where each one ends, when it was logged and who signed it, sixteen
to a row.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from provenance.errors import LedgerError
from provenance.record import MAX_OPENING_BYTES

WIDTH = 16
#: The most that fits a 4,096-byte page of SQLite as one row.
CHUNK_BYTES = 4056
_BASE = struct.Struct(">Q")  # where the row's first opening begins
_PLACE = struct.Struct(">III")  # length, POSIX time when it was logged, signer


class Stored(NamedTuple):
    """An entry as it is stored: POSIX time, the signer's bytes (None when they are missing), salt and rest."""

    logged_at: int
    head: bytes | None
    opening: bytes


class EntryStore:
    """Openings in tables ``entries``, ``chunks`` and ``signers`` of an open connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, start: int, openings: Sequence[bytes], signers: Sequence[int], logged_at: int) -> None:
        """Add openings (salt and rest) from entry ``start``, the present size, on."""
        block, used = divmod(start, WIDTH)
        table = self._table(block) if used else b""
        begin = self.end(start)
        self._append_bytes(begin, b"".join(openings))
        if not used:
            table = _BASE.pack(begin)
        rows = []
        for offset, (opening, signer) in enumerate(zip(openings, signers, strict=True), start=used):
            if offset and offset % WIDTH == 0:
                rows.append((block + offset // WIDTH - 1, table))
                table = _BASE.pack(begin)
            table += _PLACE.pack(len(opening), logged_at, signer)
            begin += len(opening)
        rows.append((block + (used + len(openings) - 1) // WIDTH, table))
        self._connection.executemany("INSERT OR REPLACE INTO entries(id, data) VALUES (?, ?)", rows)

    def end(self, size: int) -> int:
        """Where the bytes of the first ``size`` entries end."""
        if not size:
            return 0
        block, last = divmod(size - 1, WIDTH)
        places = self._places(self._table(block))
        if len(places) <= last:
            raise _damaged(size - 1)
        begin, length, _, _ = places[last]
        return begin + length

    def read(self, start: int, stop: int) -> list[Stored | None]:
        """Entries ``[start, stop)``; None for one that is missing or whose place makes no sense."""
        tables = dict(
            self._connection.execute(
                "SELECT id, data FROM entries WHERE id BETWEEN ? AND ?", (start // WIDTH, (stop - 1) // WIDTH)
            )
        )
        places: list[tuple[int, int, int, int] | None] = []
        for index in range(start, stop):
            table = self._places(tables.get(index // WIDTH, b""))
            place = table[index % WIDTH] if index % WIDTH < len(table) else None
            places.append(place if place and 0 < place[1] <= MAX_OPENING_BYTES else None)
        known = [place for place in places if place]
        if not known:
            return [None] * len(places)
        chunks = self._chunks(chunk for begin, length, *_ in known for chunk in _chunks_of(begin, length))
        heads = self._heads({signer for *_, signer in known})
        return [
            Stored(place[2], heads.get(place[3]), opening)
            if place and (opening := _slice(chunks, place[0], place[1])) is not None
            else None
            for place in places
        ]

    def last(self) -> int | None:
        """Index of the last entry there is a place for."""
        row = self._connection.execute("SELECT id, data FROM entries ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else row[0] * WIDTH + len(self._places(row[1])) - 1

    def _append_bytes(self, begin: int, data: bytes) -> None:
        chunk, used = divmod(begin, CHUNK_BYTES)
        if used:
            held = self._chunks([chunk]).get(chunk, b"")
            if len(held) < used:
                raise LedgerError(
                    f"the ledger lacks bytes in chunk {chunk}", hint="run `veilmark ledger audit`"
                )
            data = held[:used] + data
        rows = (
            (chunk + number, data[offset : offset + CHUNK_BYTES])
            for number, offset in enumerate(range(0, len(data), CHUNK_BYTES))
        )
        self._connection.executemany("INSERT OR REPLACE INTO chunks(id, data) VALUES (?, ?)", rows)

    def _table(self, block: int) -> bytes:
        row = self._connection.execute("SELECT data FROM entries WHERE id = ?", (block,)).fetchone()
        if row is None:
            raise _damaged(block * WIDTH)
        return bytes(row[0])

    def _chunks(self, wanted: Iterable[int]) -> dict[int, bytes]:
        query = "SELECT chunks.id, data FROM json_each(?) AS wanted JOIN chunks ON chunks.id = wanted.value"
        return dict(self._connection.execute(query, (json.dumps(list(set(wanted))),)))

    def _heads(self, signers: set[int]) -> dict[int, bytes]:
        query = "SELECT head FROM signers WHERE id = ?"
        found = {signer: self._connection.execute(query, (signer,)).fetchone() for signer in signers}
        return {signer: row[0] for signer, row in found.items() if row is not None}

    @staticmethod
    def _places(table: bytes) -> list[tuple[int, int, int, int]]:
        """``(begin, length, logged_at, signer)`` of the entries in a row."""
        if len(table) < _BASE.size:
            return []
        begin = _BASE.unpack_from(table)[0]
        places = []
        body = table[_BASE.size : len(table) - (len(table) - _BASE.size) % _PLACE.size]
        for length, logged_at, signer in _PLACE.iter_unpack(body):
            places.append((begin, length, logged_at, signer))
            begin += length
        return places


def _slice(chunks: dict[int, bytes], begin: int, length: int) -> bytes | None:
    offset = begin % CHUNK_BYTES
    data = b"".join(chunks.get(chunk, b"") for chunk in _chunks_of(begin, length))[offset : offset + length]
    return data if len(data) == length else None


def _chunks_of(begin: int, length: int) -> range:
    return range(begin // CHUNK_BYTES, (begin + length - 1) // CHUNK_BYTES + 1)


def _damaged(index: int) -> LedgerError:
    return LedgerError(
        f"the ledger lacks entry {index}",
        hint="the database is damaged: run `veilmark ledger audit`, then restore a backup",
    )
