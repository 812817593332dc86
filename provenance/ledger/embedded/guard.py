"""What the log remembers outside its database: the last checkpoint it signed.

Who restores an old copy of the database would otherwise sign a second, different history without noticing.
The guard is a small file, written after each commit, in two slots that take turns, so that a crash while
writing leaves the other one. It can only lag behind the database, never be ahead of it: when it is ahead, or
its root is not the database's root at that size, the database is not the one that signed.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

from provenance.errors import LedgerError, ReceiptError
from provenance.ledger.note import Checkpoint, Note

_SLOT_BYTES = 4096
_MAGIC = b"veilmark guard 1\n"
_HEADER = len(_MAGIC) + 32 + 4


def default_guard(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".guard")


def relative(guard: Path, ledger: Path) -> str:
    """Where a guard lies, seen from the ledger's folder: both move together, and a copy of both is on its own."""
    try:
        return os.path.relpath(guard.absolute(), ledger.parent.absolute())
    except ValueError:  # on another drive
        return str(guard.absolute())


class Guard:
    """The guard file at ``path``; made on the first write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = 0

    def read(self) -> Note | None:
        """The newest checkpoint written, or None when there is no guard file.

        Raises:
            LedgerError: the file is there but neither slot can be read.
        """
        try:
            with self.path.open("rb") as stream:
                data = stream.read(2 * _SLOT_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(
                f"the guard file {self.path} cannot be read: {error.strerror or error}",
                hint="check its permissions; without it the log will not sign",
            ) from error
        notes = [_decode(data[:_SLOT_BYTES]), _decode(data[_SLOT_BYTES:])]
        sizes = [Checkpoint.parse(note.text).size if note else -1 for note in notes]
        newest = sizes.index(max(sizes))
        self._turn = 1 - newest
        if data and notes[newest] is None:
            raise LedgerError(
                f"the guard file {self.path} is damaged",
                hint="if this ledger was never restored from a backup, remove the file; else start a new log",
            )
        return notes[newest]

    def write(self, note: Note, *, durable: bool = False) -> None:
        """Remember ``note``; ``durable`` waits for the disk (a checkpoint that was published or anchored)."""
        body = str(note).encode()
        if len(body) > _SLOT_BYTES - _HEADER:
            body = str(Note(note.text, note.signatures[:1])).encode()
        slot = _MAGIC + hashlib.sha256(body).digest() + len(body).to_bytes(4, "big") + body
        try:
            with self._open() as stream:
                stream.seek(self._turn * _SLOT_BYTES)
                stream.write(slot.ljust(_SLOT_BYTES, b"\0"))
                if durable:
                    os.fsync(stream.fileno())
        except OSError as error:
            raise LedgerError(
                f"the guard file {self.path} cannot be written: {error.strerror or error}",
                hint="check permissions and free space of its folder",
            ) from error
        self._turn = 1 - self._turn

    def _open(self) -> io.FileIO:
        try:
            return io.FileIO(self.path, "r+")
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return io.FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _decode(slot: bytes) -> Note | None:
    if not slot.startswith(_MAGIC):
        return None
    digest = slot[len(_MAGIC) : len(_MAGIC) + 32]
    length = int.from_bytes(slot[len(_MAGIC) + 32 : _HEADER], "big")
    body = slot[_HEADER : _HEADER + length]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        note = Note.parse(body)
        Checkpoint.parse(note.text)
    except ReceiptError:
        return None
    return note
