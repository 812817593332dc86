"""Fingerprints on the server that holds the log: every machine finds what any machine recorded.

PDQ hashes are searched exactly, by the scheme of :mod:`provenance.search.multi_index` in columns: sixteen bands of 16
bits, a B-tree each. What agrees in some band up to one bit is compared with ``bit_count``, so that within 31 bits
nothing is missed. Votes of local features need tables in memory order; each machine keeps those itself, in ``folder``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.ledger.postgres.schema import FOUND_LOCK, LOCK_CLASS
from provenance.postgres import READ, WRITE, Connection, connect, shown, transaction, translated
from provenance.search.feature_index import FeatureSegment
from provenance.search.hash_index import CODE_BYTES, Hits, as_words, sorted_hits
from provenance.search.index_store import FingerprintStore, Found
from provenance.search.multi_index import MAX_FLIPS, PIECES, masks

_BATCH = 1000
#: After so many new hashes the planner's statistics are made anew.
_MANY = 5000
_BANDS = [f"b{number}" for number in range(PIECES)]
_INSERT = f"""INSERT INTO codes(entry, time_ms, code, {", ".join(_BANDS)})
    SELECT entry, time_ms, ('x' || encode(code, 'hex'))::bit(256), {", ".join(_BANDS)}
    FROM unnest(%b::bigint[], %b::integer[], %b::bytea[], {", ".join(["%b::smallint[]"] * PIECES)})
    AS fresh(entry, time_ms, code, {", ".join(_BANDS)})"""  # noqa: S608 only our own names
_NEAR = """SELECT seq, entry, time_ms, distance FROM
    (SELECT seq, entry, time_ms, bit_count(code # ('x' || encode(%b::bytea, 'hex'))::bit(256)) AS distance
    FROM codes{}) AS compared WHERE distance <= %s"""
_IN_A_BAND = " WHERE " + " OR ".join(f"{band} = ANY(%b::smallint[])" for band in _BANDS)


class PostgresFingerprints:
    """Fingerprints by ledger entry, in the tables ``prints`` and ``codes``.

    Args:
        address: of the database that holds the log, and the descriptors with it.
        folder: where this machine keeps its tables of local features.
        source: names the log.
    """

    def __init__(self, address: str, folder: Path, source: str) -> None:
        self._address, self._where = address, shown(address)
        self._connection: Connection | None = None
        self._voting = FingerprintStore(folder, source)

    def close(self) -> None:
        """Let go of the database and of files."""
        self._voting.close()
        if self._connection is not None:
            self._connection.close()

    @property
    def next_entry(self) -> int:
        """The first entry that was not added yet."""
        return self._one("SELECT coalesce(max(entry) + 1, 0) FROM prints")

    @property
    def is_empty(self) -> bool:
        """Whether no entry has anything to be found by."""
        return not self._one(
            "SELECT count(*) FROM (SELECT FROM prints WHERE kind != 'none' LIMIT 1) AS any_one"
        )

    def add(self, rows: Iterable[Found]) -> int:
        """Add ``(entry, kind, pixels_sha256, blob, [(time in ms, code)])``; the blob lies with the log already."""
        waiting = iter(rows)
        count = codes = 0
        while batch := list(itertools.islice(waiting, _BATCH)):
            fresh, hashes = self._add_batch(batch)
            count, codes = count + fresh, codes + hashes
        if codes >= _MANY:
            with translated(self._where):
                self._open().execute("ANALYZE codes, prints")
        return count

    def _add_batch(self, batch: list[Found]) -> tuple[int, int]:
        connection = self._open()
        with translated(self._where), transaction(connection, WRITE):
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, FOUND_LOCK))
            found = connection.execute(
                """INSERT INTO prints(entry, kind, pixels)
                SELECT entry, kind, decode(pixels, 'hex') FROM unnest(%b::bigint[], %b::text[], %b::text[])
                AS fresh(entry, kind, pixels) ON CONFLICT (entry) DO NOTHING RETURNING entry""",
                ([row[0] for row in batch], [row[1] for row in batch], [row[2] for row in batch]),
            )
            fresh = {entry for (entry,) in found}
            rows = [(row[0], time, code) for row in batch if row[0] in fresh for time, code in row[4]]
            if rows:
                entries, times, codes = (list(column) for column in zip(*rows, strict=True))
                bands = _bands(np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, CODE_BYTES))
                connection.execute(_INSERT, (entries, times, codes, *bands.T.tolist()))
        return len(fresh), len(rows)

    def code_count(self) -> int:
        """Hashes good enough to identify something."""
        return self._one("SELECT count(*) FROM codes")

    def codes(self) -> Iterator[tuple[int, int, bytes]]:
        """``(entry, time in ms, code)`` of each of them."""
        query = "SELECT entry, time_ms, code FROM codes ORDER BY seq"
        for entry, time, code in self._stream(query, ()):
            yield entry, time, code[-CODE_BYTES:]  # after the number of bits

    def served_codes(self) -> tuple[PostgresIndex, PostgresIndex]:
        """The index over them on the server; it also knows whose each code is."""
        index = PostgresIndex(self._open, self._where)
        return index, index

    def entries_with_pixels(self, digest: str) -> list[int]:
        """Entries of pictures with equal pixels, earliest first."""
        with translated(self._where):
            found = self._open().execute(
                "SELECT entry FROM prints WHERE pixels = decode(%s, 'hex') ORDER BY entry", (digest,)
            )
            return [int(entry) for (entry,) in found]

    def blob(self, entry: int) -> bytes | None:
        """The descriptors of an entry."""
        with translated(self._where):
            query = "SELECT data FROM features WHERE entry = %s"
            found = self._open().execute(query, (entry,), binary=True).fetchone()
        return None if found is None else bytes(found[0])

    def blobs(self, kind: str) -> Iterator[tuple[int, bytes]]:
        """``(entry, descriptors)`` of every entry of a kind that has some."""
        query = "SELECT entry, data FROM prints JOIN features USING (entry) WHERE kind = %s ORDER BY entry"
        yield from self._stream(query, (kind,))

    def feature_segments(self) -> list[FeatureSegment]:
        """All filed features; those of new entries are fetched first."""
        query = """SELECT entry, kind, data FROM prints LEFT JOIN features ON kind IN ('picture', 'video') AND
            features.entry = prints.entry WHERE prints.entry >= %s ORDER BY prints.entry"""
        fresh = self._stream(query.replace("SELECT entry", "SELECT prints.entry"), (self._voting.next_entry,))
        self._voting.add((entry, kind, None, data, []) for entry, kind, data in fresh)
        return self._voting.feature_segments()

    def _stream(self, query: str, values: tuple[object, ...]) -> Iterator[Any]:
        connection = connect(self._address)  # of its own: others go on asking meanwhile
        with (
            connection,
            translated(self._where),
            transaction(connection, READ),
            connection.cursor(name="stream", binary=True) as cursor,
        ):
            cursor.itersize = 200
            yield from cursor.execute(query.encode(), values)

    def _one(self, query: str) -> int:
        with translated(self._where):
            row = self._open().execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._address)
            self._connection.execute("SET jit TO off")
        return self._connection


class PostgresIndex:
    """The hashes on the server, as a :class:`provenance.search.hash_index.Index` that others fill.

    Asked by number, it tells ``(entry, time in ms)`` of an item that a search found.
    """

    def __init__(self, open_connection: Callable[[], Connection], where: str) -> None:
        self._open = open_connection
        self._where = where
        self._owners: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        with translated(self._where):
            row = self._open().execute("SELECT count(*) FROM codes").fetchone()
        return int(row[0]) if row else 0

    def __getitem__(self, item: int) -> tuple[int, int]:
        return self._owners[int(item)]

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        """Every item within ``radius`` bits of each of the ``(Q, 32)`` uint8 queries, none left out."""
        flips = radius // PIECES
        banded = flips <= MAX_FLIPS
        query = _NEAR.format(_IN_A_BAND if banded else "")
        found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        with translated(self._where):
            connection = self._open()
            with connection.pipeline():  # all are sent before the first answer is waited for
                asked = [
                    connection.execute(
                        query,
                        (code.tobytes(), *(_near_bands(code, flips) if banded else []), radius),
                        binary=True,
                    )
                    for code in queries
                ]
                answers = [one.fetchall() for one in asked]
        for number, rows in enumerate(answers):
            if not rows:
                continue
            self._owners.update({seq: (entry, time) for seq, entry, time, _ in rows})
            items = np.array([seq for seq, *_ in rows], dtype=np.int64)
            found.append((number, items, np.array([row[3] for row in rows], dtype=np.int64)))
        return sorted_hits(found)


def _bands(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """``(N, 32)`` uint8 codes in sixteen bands: ``(N, 16)``, as the column type smallint has it."""
    return as_words(codes).view(np.int16).reshape(len(codes), PIECES)


def _near_bands(code: NDArray[np.uint8], flips: int) -> list[list[int]]:
    """For each band of a code, every value up to so many flipped bits from it."""
    keys = as_words(code[None]).view(np.uint16).reshape(PIECES)[:, None] ^ masks(flips)[None, :]
    return [row.tolist() for row in keys.view(np.int16)]
