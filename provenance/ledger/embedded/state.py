"""The last checkpoint that a log signed, as its database holds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import lru_cache

from provenance.errors import LedgerError, VeilmarkError
from provenance.ledger.note import Checkpoint, Note


def current(connection: sqlite3.Connection) -> tuple[Note, Checkpoint]:
    """The last checkpoint this database signed."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()
    return parsed_state(row[0] if row is not None else None, lambda: _name_of(connection))


def parsed_state(text: object, name: Callable[[], str]) -> tuple[Note, Checkpoint]:
    """The note and its checkpoint from the text that a database holds, or None where it holds none.

    Args:
        name: what the database is called in messages.

    Raises:
        LedgerError: there is none, or it is damaged.
    """
    if text is None:
        raise LedgerError(
            "the ledger was never finished being made", hint="remove the file and create it again"
        )
    try:
        if not isinstance(text, str):
            raise ValueError("it is no text")
        return _parse(text)
    except (VeilmarkError, ValueError) as error:
        raise LedgerError(
            f"{name()}: its signed checkpoint is damaged: {error}",
            hint="keep a copy, then `veilmark ledger restore` from a backup",
        ) from error


def _name_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2] or "the ledger")


@lru_cache(maxsize=16)
def _parse(text: str) -> tuple[Note, Checkpoint]:
    note = Note.parse(text)
    return note, Checkpoint.parse(note.text)
