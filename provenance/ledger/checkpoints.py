"""Checkpoints that left the machine: published, anchored or cosigned ones, kept to issue receipts against."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
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


def keep(connection: sqlite3.Connection, note: Note, kind: str, place: str, *, at: int | None = None) -> None:
    """Remember a checkpoint, at a POSIX time; the signatures of an equal one kept before are merged."""
    require_kind(kind)
    size = Checkpoint.parse(note.text).size
    note = merged(note, select(connection, size=size))
    connection.execute(
        "INSERT OR REPLACE INTO checkpoints(size, kind, place, note, at) VALUES (?, ?, ?, ?, ?)",
        (size, kind, place, str(note), int(time.time()) if at is None else at),
    )
    connection.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (str(note), size))


def require_kind(kind: str) -> None:
    """UsageError for a kind there is not."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not one of {', '.join(KINDS)}")


def merged(note: Note, others: Iterable[Kept]) -> Note:
    """The note with the signatures of equal ones that were kept before."""
    for other in others:
        if other.note.text == note.text:
            note = other.note.with_signatures(note.signatures)
    return note


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
    return [kept_of(*row) for row in rows]


def kept_of(size: int, kind: str, place: str, note: str, at: int) -> Kept:
    """A row of the table ``checkpoints``."""
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Kept(size, kind, place, Note.parse(note), when)
