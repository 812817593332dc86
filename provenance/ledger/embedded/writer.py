"""Appending: one durable transaction for all waiting entries, of every thread and process.

Threads of a process queue their requests; whoever gets the lock next commits the whole queue (group commit).
Processes do the same through :mod:`provenance.ledger.embedded.inbox`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from provenance.errors import ForkError, LedgerError, VeilmarkError
from provenance.ledger.embedded import described, lookup, schema
from provenance.ledger.embedded.entries import EntryStore
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.embedded.inbox import ProcessLock
from provenance.ledger.embedded.nodes import MAX_ENTRIES, NodeStore
from provenance.ledger.embedded.rows import Prepared, find_same, prepare
from provenance.ledger.note import Checkpoint, Note, SigningKey
from provenance.record import Opening

_LONGEST_GATHERING = 0.01


@dataclass
class _Request:
    items: Sequence[Prepared]
    sources: Sequence[tuple[Opening, bytes | None]] = ()
    indexes: list[int] = field(default_factory=list)
    note: Note | None = None
    error: BaseException | None = None


class Writer:
    """The one place where a log grows and signs.

    Args:
        path: the database.
        guard: what is remembered outside of it.
        key: loads the signing key when it is first needed.
    """

    def __init__(self, path: Path, guard: Guard, key: Callable[[], SigningKey]) -> None:
        self._path = path
        self._guard = guard
        self._key = key
        self._connection: sqlite3.Connection | None = None
        self._queue: list[_Request] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()
        self._signers: dict[bytes, int] = {}
        self._last = 1, 0.0  # requests served by the last commit, and the seconds it took
        self._processes = ProcessLock(path)

    def append(self, sources: Sequence[tuple[Opening, bytes | None]]) -> tuple[list[int], Note]:
        """Add entries; returns when they are on disk: their indexes, and a checkpoint that covers them."""
        request = _Request([prepare(opening, features) for opening, features in sources], sources)
        with self._queue_lock:
            self._queue.append(request)
        with self._turn:
            if request.note is None and request.error is None:
                self._gather()
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                began = time.monotonic()
                self._commit(batch)
                self._last = len(batch), time.monotonic() - began
        if request.error is not None:
            raise request.error
        if request.note is None:
            raise LedgerError("the append was interrupted")
        return request.indexes, request.note

    def _gather(self) -> None:
        """Where the last commit served several threads, wait a moment for them to come again.

        They were all let go at once; committing for the first one back would make the others wait for the
        next sync. Never longer than half of what a commit takes.
        """
        count, seconds = self._last
        deadline = time.monotonic() + min(seconds / 2, _LONGEST_GATHERING)
        while len(self._queue) < count and time.monotonic() < deadline:
            time.sleep(seconds / 50)

    def adopt(self, items: Sequence[Prepared], note: Note) -> int:
        """Add entries that this log already signed, without signing: they must lead exactly to ``note``."""
        target = Checkpoint.parse(note.text)
        with self.exclusive() as connection:
            checkpoint = current(connection)[1]
            size = checkpoint.size
            fresh = list(enumerate(items[: max(target.size - size, 0)], start=size))
            if fresh:
                _insert(connection, fresh, self._signers)
                lookup.settle(connection, size, size + len(fresh))
                NodeStore(connection).append(size, [item.leaf for _, item in fresh])
            if size + len(fresh) != target.size or NodeStore(connection).root(target.size) != target.root:
                raise ForkError(
                    f"these entries do not lead to the state of {target.size} entries that the log signed",
                    hint="use an export made after that state was signed",
                )
            connection.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint'", (str(note),))
            return len(fresh)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """A write transaction that no other thread or process can interleave with."""
        with self._turn, self._processes.held(), schema.translated(self._path):
            connection = self._open()
            with schema.transaction(connection):
                yield connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._processes.close()

    def _commit(self, batch: list[_Request]) -> None:
        try:
            key = self._key()
            sources = [source for request in batch for source in request.sources]
            with self._processes.held(sources), schema.translated(self._path):
                connection = self._open()
                others = [_Request(items) for items in [self._processes.waiting()] if items]
                with schema.transaction(connection):
                    fresh, note = _add(connection, [*batch, *others], key, self._signers)
                if fresh:
                    self._guard.write(note)
                else:
                    self._sync_log()
            for request in batch:
                request.note = note
        except BaseException as error:
            self._signers.clear()
            for request in batch:
                request.error = error if request is batch[0] else _copy_of(error)
            if not isinstance(error, VeilmarkError):
                raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path)
        return self._connection

    def _sync_log(self) -> None:
        """Put on disk what a writer that was killed may have left in the cache, before it is signed."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self._path.with_name(self._path.name + "-wal"), os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def current(connection: sqlite3.Connection) -> tuple[Note, Checkpoint]:
    """The last checkpoint this database signed."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()
    if row is None:
        raise LedgerError(
            "the ledger was never finished being made", hint="remove the file and create it again"
        )
    try:
        return _parse(row[0])
    except (VeilmarkError, TypeError, ValueError) as error:
        name = connection.execute("PRAGMA database_list").fetchone()[2] or "the ledger"
        raise LedgerError(
            f"{name}: its signed checkpoint is damaged: {error}",
            hint="keep a copy, then `veilmark ledger restore` from a backup",
        ) from error


@lru_cache(maxsize=16)
def _parse(text: str) -> tuple[Note, Checkpoint]:
    note = Note.parse(text)
    return note, Checkpoint.parse(note.text)


def _add(
    connection: sqlite3.Connection, batch: Sequence[_Request], key: SigningKey, signers: dict[bytes, int]
) -> tuple[int, Note]:
    """Insert what is new, extend the tree, sign; returns the number of new entries and the checkpoint."""
    note, checkpoint = current(connection)
    size = checkpoint.size
    places = find_same(connection, [item for request in batch for item in request.items], size)
    fresh: list[tuple[int, Prepared]] = []
    for request in batch:
        for item in request.items:
            if item.leaf not in places:
                places[item.leaf] = size + len(fresh)
                fresh.append((places[item.leaf], item))
        request.indexes = [places[item.leaf] for item in request.items]
    if not fresh:
        return 0, note
    if size + len(fresh) > MAX_ENTRIES:
        raise LedgerError(f"the log is full: it holds at most {MAX_ENTRIES} entries", hint="start a new log")
    _insert(connection, fresh, signers)
    lookup.settle(connection, size, size + len(fresh))
    old_root, root = NodeStore(connection).append(size, [item.leaf for _, item in fresh])
    if old_root != checkpoint.root:  # the new tree extends the stored one: is that the one that was signed?
        raise ForkError(
            f"the stored tree is not the one of the checkpoint of size {size} that this log signed last",
            hint="nothing was written; run `veilmark ledger audit`, then restore a backup",
        )
    signed = Checkpoint(checkpoint.origin, size + len(fresh), root).sign(key)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint'", (str(signed),))
    return len(fresh), signed


def _insert(
    connection: sqlite3.Connection, items: Sequence[tuple[int, Prepared]], signers: dict[bytes, int]
) -> None:
    now = int(time.time())
    for _, item in items:
        if item.head not in signers:
            connection.execute("INSERT OR IGNORE INTO signers(head) VALUES (?)", (item.head,))
            query = "SELECT id FROM signers WHERE head = ?"
            signers[item.head] = connection.execute(query, (item.head,)).fetchone()[0]
    openings = [item.stored for _, item in items]
    authors = [signers[item.head] for _, item in items]
    EntryStore(connection).append(items[0][0], openings, authors, now)
    lookup.insert(connection, (key + index for index, item in items for key in item.keys))
    described.insert(
        connection, [(index, item.features) for index, item in items if item.features is not None]
    )


def _copy_of(error: BaseException) -> BaseException:
    """A second exception object for the second waiter: a traceback belongs to one thread."""
    if isinstance(error, VeilmarkError):
        return type(error)(str(error), hint=error.hint)
    return LedgerError(f"the append failed: {error}")
