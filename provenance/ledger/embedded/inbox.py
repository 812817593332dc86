"""How processes that wait for the log let the one that has it commit for all of them.

A process that finds the log busy leaves its openings in the inbox folder and queues for the lock. Whoever has
the lock takes what is there into its own transaction. When the waiter gets its turn, its openings are already
in the log, where the ordinary check for known openings finds them: no answer needs to be sent. A file whose
owner died is dropped, because nobody was told that it was logged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from provenance.errors import VeilmarkError
from provenance.ledger.embedded.rows import Prepared, prepare
from provenance.record import Opening

try:
    import fcntl
except ImportError:  # Windows: no flock; processes then take turns one by one
    fcntl = None  # type: ignore[assignment]

MAX_FILES = 256
MAX_BYTES = 8 * 1024 * 1024
_MAGIC = b"veilmark inbox 1\n"


class ProcessLock:
    """One writer at a time, among processes; and the inbox of those that wait.

    One object serves one thread at a time.
    """

    def __init__(self, ledger: Path) -> None:
        self._lock = ledger.with_name(ledger.name + ".lock")
        self._folder = ledger.with_name(ledger.name + ".inbox")
        self._handle: int | None = None

    @contextlib.contextmanager
    def held(self, items: Sequence[tuple[Opening, bytes | None]] = ()) -> Iterator[None]:
        """Hold the lock; while waiting for it, offer ``items`` to the one who has it."""
        if fcntl is None:
            yield
            return
        if self._handle is None:
            self._handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._offered(items):
                fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def waiting(self) -> list[Prepared]:
        """What live processes offer; to be called by the holder of the lock."""
        if fcntl is None:
            return []
        try:
            files = sorted(self._folder.iterdir())[:MAX_FILES]
        except FileNotFoundError:
            return []
        return [item for file in files for item in _take(file)]

    @contextlib.contextmanager
    def _offered(self, items: Sequence[tuple[Opening, bytes | None]]) -> Iterator[None]:
        data = _encode(items)
        if not items or len(data) > MAX_BYTES:
            yield
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        file = self._folder / f"{os.getpid()}-{os.urandom(8).hex()}"
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # says that the owner lives
            with os.fdopen(os.dup(handle), "wb") as stream:
                stream.write(data)
            yield
        finally:
            file.unlink(missing_ok=True)
            os.close(handle)


def _take(file: Path) -> list[Prepared]:
    """One offer's openings; nothing when it is incomplete, malformed, or its owner is gone."""
    try:
        with file.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _decode(stream.read(MAX_BYTES + 1))
            file.unlink(missing_ok=True)
    except OSError:
        pass
    return []


def _encode(items: Sequence[tuple[Opening, bytes | None]]) -> bytes:
    parts = []
    for opening, features in items:
        for part in (opening.to_bytes(), features):
            parts.append((len(part) + 1 if part is not None else 0).to_bytes(4, "big") + (part or b""))
    body = b"".join(parts)
    return _MAGIC + len(body).to_bytes(4, "big") + body


def _decode(data: bytes) -> list[Prepared]:
    head = len(_MAGIC) + 4
    length = int.from_bytes(data[len(_MAGIC) : head], "big")
    if not data.startswith(_MAGIC) or len(data) != head + length:
        return []  # still being written
    parts: list[bytes | None] = []
    position = head
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        position += 4
        parts.append(data[position : position + size - 1] if size else None)
        position += max(size - 1, 0)
    try:
        return [
            prepare(Opening.from_bytes(opening or b""), features)
            for opening, features in zip(parts[::2], parts[1::2], strict=True)
        ]
    except (VeilmarkError, ValueError):
        return []
