"""Appending to a log on a server: one writer at a time signs, under an advisory lock; others wait, then are told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import psycopg

from provenance.errors import LedgerError
from provenance.ledger.embedded.discoverable import Rows
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.note import SigningKey
from provenance.ledger.postgres import schema
from provenance.ledger.postgres.tables import PostgresRows, PostgresTables
from provenance.ledger.writer import Source, Writer
from provenance.postgres import WRITE, Connection, connect, shown, transaction, translated

#: So long a writer waits for the one before it.
WAIT_SECONDS = 60.0


class PostgresWriter(Writer):
    """The writer of the log at ``address``."""

    def __init__(self, address: str, guard: Guard, key: Callable[[], SigningKey]) -> None:
        super().__init__(guard, key)
        self._address = address
        self._where = shown(address)
        self._connection: Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def rows(self) -> Rows:
        """What the transaction of :meth:`exclusive` is in."""
        return PostgresRows(self._open())

    @contextlib.contextmanager
    def _held(self, sources: Sequence[Source] = ()) -> Iterator[None]:
        with translated(self._where):
            connection = self._locked()
            try:
                yield
            finally:
                try:
                    values = (schema.LOCK_CLASS, schema.WRITER_LOCK)
                    connection.execute("SELECT pg_advisory_unlock(%s, %s)", values)
                except psycopg.Error:
                    self.close()  # the server lets go of the lock with the connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[PostgresTables]:
        connection = self._open()
        with transaction(connection, WRITE):
            yield PostgresTables(connection, self._where, self._signers)

    def _locked(self) -> Connection:
        """A connection that holds the writer's lock; one that died while it was idle is replaced."""
        fresh = self._connection is None
        try:
            return self._lock()
        except psycopg.OperationalError:
            lost = self._connection is not None and self._connection.closed
            self.close()
            if fresh or not lost:
                raise
        return self._lock()

    def _lock(self) -> Connection:
        connection = self._open()
        connection.execute(f"SET lock_timeout TO {round(WAIT_SECONDS * 1000)}".encode())
        values = (schema.LOCK_CLASS, schema.WRITER_LOCK)
        connection.execute("SELECT pg_advisory_lock(%s, %s)", values)
        return connection

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = _durable(connect(self._address))
            self._signers.clear()
        return self._connection


def _durable(connection: Connection) -> Connection:
    """A commit must mean that it is on disk, whatever the server's defaults.

    Raises:
        LedgerError: the server never waits for its disk.
    """
    row = connection.execute(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
    ).fetchone()
    fsync, commit = row or ("", "")
    if fsync == "off":
        connection.close()
        raise LedgerError(
            "the database server runs with fsync off: what it acknowledges may be lost",
            hint="set fsync = on in postgresql.conf",
        )
    if commit == "off":
        connection.execute("SET synchronous_commit TO on")
    return connection
