"""Is this database the one that signed last? The comparison with what is remembered outside of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from provenance.errors import ForkError, LedgerError, ReceiptError
from provenance.ledger.checkpoints import Kept
from provenance.ledger.note import MAX_NOTE_BYTES, Checkpoint, Note


class History(Protocol):
    """What the check needs to know of a log; :class:`provenance.ledger.embedded.log.LocalLedger` is one."""

    origin: str

    @property
    def size(self) -> int: ...

    def root_at(self, size: int) -> bytes: ...

    def kept_checkpoints(self, kind: str | None = None) -> Sequence[Kept]: ...


def find_fork(ledger: History, remembered: Note | None) -> ForkError | None:
    """Compare the log with its guard file's checkpoint, then with the folders it was published to."""
    if remembered is not None:
        error = contradiction(ledger, Checkpoint.parse(remembered.text))
        if error is not None:
            return error
    for place in sorted({kept.place for kept in ledger.kept_checkpoints("published")}):
        with contextlib.suppress(LedgerError, ReceiptError):  # out of reach, or no longer a log's folder
            note = published_checkpoint(Path(place))
            error = contradiction(ledger, Checkpoint.parse(note.text), place) if note else None
            if error is not None:
                return error
    return None


def contradiction(ledger: History, seen: Checkpoint, place: str = "its guard file") -> ForkError | None:
    """ForkError when ``seen``, met at ``place``, is not a state of this database, now or earlier."""
    if seen.origin != ledger.origin:
        return ForkError(
            f"{place} belongs to log {seen.origin[:80]!r}, not {ledger.origin!r}",
            hint="put each log's files back where they belong",
        )
    size = ledger.size
    if seen.size <= size and ledger.root_at(seen.size) == seen.root:
        return None
    what = f"has {size} entries" if seen.size > size else "holds another history"
    return ForkError(
        f"this log already signed {seen.size} entries (says {place}), but the database {what}: an older copy?",
        hint="put the newest database back with `veilmark ledger restore`, add the missing entries from an export with "
        "`veilmark ledger catch-up`, or start a new log; signing here would fork the history",
    )


def published_checkpoint(folder: Path) -> Note | None:
    """The checkpoint that a folder shows, or None when nothing is published there.

    Raises:
        LedgerError: it cannot be read.
        ReceiptError: it is no checkpoint.
    """
    try:
        with (folder / "checkpoint").open("rb") as stream:
            return Note.parse(stream.read(MAX_NOTE_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LedgerError(f"{folder / 'checkpoint'} cannot be read: {error.strerror or error}") from error
