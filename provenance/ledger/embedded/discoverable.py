"""Which entries their owner lets others find, and what they are found by.

Kept beside the tree and no part of it: an entry is not discoverable before somebody says so, and may be taken back.
What others have seen until then cannot be taken back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

TAKEN_BACK = "discoverable_taken_back"
_ALL = 1 << 62


class Rows(Protocol):
    """A database that is asked in what SQLite and PostgreSQL have in common."""

    def execute(self, query: str, values: tuple[Any, ...] = ..., /) -> Any: ...


@dataclass(frozen=True)
class Listing:
    """One discoverable entry.

    Attributes:
        seq: counts up with each entry that is listed; never used twice.
        entry: index in the log.
        manifest_id: label of the active manifest, such as ``urn:c2pa:...``; empty where there is no manifest.
        pdq: 32 bytes; None where there is no hash, or one that is too weak to identify anything.
        at: when it was listed, RFC 3339 UTC.
    """

    seq: int
    entry: int
    manifest_id: str
    pdq: bytes | None
    at: str


def insert(connection: Rows, entry: int, manifest_id: str, pdq: bytes | None) -> bool:
    """List an entry; False where it is listed already."""
    done = connection.execute(
        "INSERT INTO discoverable(entry, manifest_id, pdq, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (entry, manifest_id, pdq, int(time.time())),
    )
    return bool(done.rowcount > 0)


def delete(connection: Rows, entry: int) -> bool:
    """Take an entry off the list; False where it was not on it."""
    if not connection.execute("DELETE FROM discoverable WHERE entry = ?", (entry,)).rowcount:
        return False
    connection.execute(
        "INSERT INTO meta(key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (TAKEN_BACK, str(state(connection)[0] + 1)),
    )
    return True


def state(connection: Rows) -> tuple[int, int]:
    """How many were ever taken off the list, and the last ``seq`` on it (0 for none): changes with every change."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (TAKEN_BACK,)).fetchone()
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM discoverable").fetchone()
    return (int(row[0]) if row else 0), int(last)


def after(connection: Rows, seq: int, *, limit: int = -1) -> list[Listing]:
    """Listings with a higher ``seq``, lowest first; all of them where ``limit`` is negative."""
    return _select(connection, "WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit if limit >= 0 else _ALL))


def of_manifest(connection: Rows, manifest_id: str) -> list[Listing]:
    """Listings of a manifest's label, the earliest entry first."""
    return _select(connection, "WHERE manifest_id = ? ORDER BY entry LIMIT 100", (manifest_id,))


def of_entries(connection: Rows, entries: Iterable[int]) -> dict[int, Listing]:
    """Those of these entries that are listed."""
    found: dict[int, Listing] = {}
    for entry in entries:
        for one in _select(connection, "WHERE entry = ?", (entry,)):
            found[entry] = one
    return found


def copy(source: Rows, target: Rows) -> None:
    """Make the target's list the source's, with its numbers."""
    target.execute("DELETE FROM discoverable")
    target.execute("DELETE FROM meta WHERE key = ?", (TAKEN_BACK,))
    for row in source.execute("SELECT seq, entry, manifest_id, pdq, at FROM discoverable ORDER BY seq"):
        query = "INSERT INTO discoverable(seq, entry, manifest_id, pdq, at) VALUES (?, ?, ?, ?, ?)"
        target.execute(query, tuple(row))
    taken_back = state(source)[0]
    if taken_back:
        target.execute("INSERT INTO meta(key, value) VALUES (?, ?)", (TAKEN_BACK, str(taken_back)))


def count(connection: Rows) -> int:
    """How many are listed."""
    return int(connection.execute("SELECT count(*) FROM discoverable").fetchone()[0])


def _select(connection: Rows, where: str, values: tuple[int | str, ...]) -> list[Listing]:
    query = f"SELECT seq, entry, manifest_id, pdq, at FROM discoverable {where}"  # noqa: S608 - constants
    return [
        Listing(seq, entry, manifest_id, pdq, datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for seq, entry, manifest_id, pdq, at in connection.execute(query, values)
    ]
