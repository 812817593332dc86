"""Appending: one durable transaction for all waiting entries of a process's threads (group commit).

Threads queue their requests; whoever gets the lock next commits the whole queue. How the writers of several
processes keep apart is the database's business: :mod:`provenance.ledger.embedded.writer` and
:mod:`provenance.ledger.postgres.writer`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from provenance.errors import ForkError, LedgerError, VeilmarkError
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.embedded.nodes import MAX_ENTRIES
from provenance.ledger.embedded.rows import Prepared, prepare
from provenance.ledger.note import Checkpoint, Note, SigningKey
from provenance.ledger.tables import Tables, find_same
from provenance.record import Opening

_LONGEST_GATHERING = 0.01
Source = tuple[Opening, bytes | None]


@dataclass
class Request:
    """What one thread wants logged, and what became of it."""

    items: Sequence[Prepared]
    sources: Sequence[Source] = ()
    indexes: list[int] = field(default_factory=list)
    note: Note | None = None
    error: BaseException | None = None


class Writer(ABC):
    """The one place where a log grows and signs.

    Args:
        guard: what is remembered outside of the database.
        key: loads the signing key when it is first needed.
    """

    def __init__(self, guard: Guard, key: Callable[[], SigningKey]) -> None:
        self._guard = guard
        self._key = key
        self._queue: list[Request] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()
        self._signers: dict[bytes, int] = {}
        self._last = 1, 0.0  # requests served by the last commit, and the seconds it took

    def append(self, sources: Sequence[Source]) -> tuple[list[int], Note]:
        """Add entries; returns when they are on disk: their indexes, and a checkpoint that covers them."""
        request = Request([prepare(opening, features) for opening, features in sources], sources)
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
        with self.exclusive() as tables:
            size = tables.state()[1].size
            fresh = items[: max(target.size - size, 0)]
            if fresh:
                tables.insert(size, fresh, [int(time.time())] * len(fresh))
                tables.nodes.append(size, [item.leaf for item in fresh])
            if size + len(fresh) != target.size or tables.nodes.root(target.size) != target.root:
                raise ForkError(
                    f"these entries do not lead to the state of {target.size} entries that the log signed",
                    hint="use an export made after that state was signed",
                )
            tables.set_state(note)
            return len(fresh)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[Tables]:
        """The tables in a write transaction that no other thread or process can interleave with."""
        with self._turn, self._held():
            try:
                with self._transaction() as tables:
                    yield tables
            except BaseException:
                self._signers.clear()
                raise

    def _commit(self, batch: list[Request]) -> None:
        try:
            key = self._key()
            with self._held([source for request in batch for source in request.sources]):
                others = [Request(items) for items in [self._offered()] if items]
                with self._transaction() as tables:
                    fresh, note = _add(tables, [*batch, *others], key)
                if fresh:
                    self._guard.write(note)
                else:
                    self._settle()
            for request in batch:
                request.note = note
        except BaseException as error:
            self._signers.clear()
            for request in batch:
                request.error = error if request is batch[0] else _copy_of(error)
            if not isinstance(error, VeilmarkError):
                raise

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def _held(self, sources: Sequence[Source] = ()) -> AbstractContextManager[None]:
        """Keep the writers of other processes away; while waiting for them, ``sources`` may be offered to them."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Tables]:
        """A write transaction, durable once it is left."""

    def _offered(self) -> list[Prepared]:
        """What writers of other processes, who wait, want to have logged with ours."""
        return []

    def _settle(self) -> None:  # noqa: B027 most databases have nothing to do
        """Nothing was written, but what is there is about to be acknowledged: see that it is durable."""


def _add(tables: Tables, batch: Sequence[Request], key: SigningKey) -> tuple[int, Note]:
    """Insert what is new, extend the tree, sign; returns the number of new entries and the checkpoint."""
    note, checkpoint = tables.state()
    if place := tables.moved():
        raise LedgerError(
            f"this log was moved to {place} and takes no more entries here",
            hint="run `veilmark ledger migrate` again where it was begun, or use the log at its new place",
        )
    size = checkpoint.size
    places = find_same(tables, [item for request in batch for item in request.items], size)
    fresh: list[Prepared] = []
    for request in batch:
        for item in request.items:
            if item.leaf not in places:
                places[item.leaf] = size + len(fresh)
                fresh.append(item)
        request.indexes = [places[item.leaf] for item in request.items]
    if not fresh:
        return 0, note
    if size + len(fresh) > MAX_ENTRIES:
        raise LedgerError(f"the log is full: it holds at most {MAX_ENTRIES} entries", hint="start a new log")
    tables.insert(size, fresh, [int(time.time())] * len(fresh))
    old_root, root = tables.nodes.append(size, [item.leaf for item in fresh])
    if old_root != checkpoint.root:  # the new tree extends the stored one: is that the one that was signed?
        raise ForkError(
            f"the stored tree is not the one of the checkpoint of size {size} that this log signed last",
            hint="nothing was written; run `veilmark ledger audit`, then restore a backup",
        )
    signed = Checkpoint(checkpoint.origin, size + len(fresh), root).sign(key)
    tables.set_state(signed)
    return len(fresh), signed


def _copy_of(error: BaseException) -> BaseException:
    """A second exception object for the second waiter: a traceback belongs to one thread."""
    if isinstance(error, VeilmarkError):
        return type(error)(str(error), hint=error.hint)
    return LedgerError(f"the append failed: {error}")
