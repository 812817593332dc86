"""Checkpoints that left the machine: published, anchored or cosigned ones, kept to issue receipts against."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from provenance.errors import UsageError
from provenance.ledger.note import Checkpoint, Note

KINDS = ("published", "anchored", "witnessed")


@dataclass(frozen=True)
class Kept:
    """A checkpoint that others may have seen.

    Attributes:
        size: its tree size.
        kind: one of :data:`KINDS`.
        place: where: a folder, a contract as ``CHAIN:ADDRESS``, a witness's name.
        note: the signed checkpoint.
        at: when it was kept, RFC 3339 UTC, this machine's clock.
    """

    size: int
    kind: str
    place: str
    note: Note
    at: str


def keep(connection: sqlite3.Connection, note: Note, kind: str, place: str) -> None:
    """Remember a checkpoint; the signatures of an equal one kept before are merged."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not one of {', '.join(KINDS)}")
    size = Checkpoint.parse(note.text).size
    for other in select(connection, size=size):
        if other.note.text == note.text:
            note = other.note.with_signatures(note.signatures)
    connection.execute(
        "INSERT OR REPLACE INTO checkpoints(size, kind, place, note, at) VALUES (?, ?, ?, ?, ?)",
        (size, kind, place, str(note), int(time.time())),
    )
    connection.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (str(note), size))


def select(
    connection: sqlite3.Connection,
    *,
    kind: str | None = None,
    size: int | None = None,
    covering: int = 0,
    limit: int = 1000,
) -> list[Kept]:
    """Kept checkpoints, largest first: of one kind, of one size, or of more than ``covering`` leaves."""
    rows = connection.execute(
        """SELECT size, kind, place, note, at FROM checkpoints
        WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR size = ?2) AND size > ?3
        ORDER BY size DESC, kind, place LIMIT ?4""",
        (kind, size, covering, limit),
    )
    return [
        Kept(row[0], row[1], row[2], Note.parse(row[3]), datetime.fromtimestamp(row[4], UTC).strftime(_TIME))
        for row in rows
    ]


_TIME = "%Y-%m-%dT%H:%M:%SZ"
