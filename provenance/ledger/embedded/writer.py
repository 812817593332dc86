"""Appending to the SQLite file: processes take turns, and the one whose turn it is commits for those that wait.

See :mod:`provenance.ledger.embedded.inbox`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from provenance.ledger.embedded import schema
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.embedded.inbox import ProcessLock
from provenance.ledger.embedded.rows import Prepared
from provenance.ledger.embedded.tables import SqliteTables
from provenance.ledger.note import SigningKey
from provenance.ledger.writer import Source, Writer


class SqliteWriter(Writer):
    """The writer of the database at ``path``."""

    def __init__(self, path: Path, guard: Guard, key: Callable[[], SigningKey]) -> None:
        super().__init__(guard, key)
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._processes = ProcessLock(path)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._processes.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """What the transaction of :meth:`exclusive` is in."""
        return self._open()

    @contextlib.contextmanager
    def _held(self, sources: Sequence[Source] = ()) -> Iterator[None]:
        with self._processes.held(sources), schema.translated(self._path):
            yield

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[SqliteTables]:
        connection = self._open()
        with schema.transaction(connection):
            yield SqliteTables(connection, self._signers)

    def _offered(self) -> list[Prepared]:
        return self._processes.waiting()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path)
        return self._connection

    def _settle(self) -> None:
        """Put on disk what a writer that was killed may have left in the cache."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self._path.with_name(self._path.name + "-wal"), os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
