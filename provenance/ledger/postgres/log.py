"""The log on a PostgreSQL server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg

from provenance.errors import LedgerError
from provenance.ledger import merkle
from provenance.ledger.embedded.discoverable import Rows
from provenance.ledger.embedded.fork import find_fork
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.keys import key_path, save_key
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, SigningKey
from provenance.ledger.postgres import schema
from provenance.ledger.postgres.tables import PostgresTables
from provenance.ledger.postgres.writer import PostgresWriter
from provenance.postgres import READ, SCHEMA, WRITE, Connection, connect, shown, transaction, translated


class PostgresLedger(Log):
    """A log on a server; use :meth:`create` or :meth:`open`, and as a context manager.

    Machines that have the log's key beside ``path`` append and sign, one at a time; others read. Each keeps its own
    guard file.
    """

    def __init__(self, address: str, path: Path, *, guard: Path, passphrase: str | None = None) -> None:
        self.path, self.where = path, shown(address)
        self.address = address
        self._passphrase = passphrase
        self._local = threading.local()
        self._readers: list[Connection] = []
        self._readers_lock = threading.Lock()
        try:
            with translated(self.where):
                schema.require(self._reader())
            with self.view() as tables:
                origin, key = tables.meta("origin"), tables.meta("vkey")
                tables.state()
            if origin is None or key is None:
                raise LedgerError(f"the log in {self.where} has no name or no key")
            self.origin, self.log_key = origin, key
            self._guard = Guard(guard)
            self._writer: PostgresWriter = PostgresWriter(address, self._guard, self._signing_key)
            remembered = self._guard.read()  # before the database, which may only be ahead of it
            self.fork = find_fork(self, remembered)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, address: str, path: Path, *, origin: str, guard: Path, passphrase: str | None = None
    ) -> PostgresLedger:
        """Make an empty log with a fresh key in a database that holds none.

        Args:
            address: ``postgresql://USER@HOST:PORT/DATABASE``.
            path: the key is kept beside this file, which need not exist.
            origin: the log's unique name, such as ``example.org/log``; no spaces, no plus sign.
            guard: where this machine remembers the last signed checkpoint.
            passphrase: encrypts the key file.

        Raises:
            LedgerError: the database holds a log already, or cannot be used.
            UsageError: the origin cannot name a log, or the address is none.
        """
        key = SigningKey.generate(origin)
        connection = connect(address)
        with connection, translated(shown(address)):
            schema.install(connection)
            with transaction(connection, WRITE):
                values = (schema.LOCK_CLASS, schema.SCHEMA_LOCK)
                connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", values)
                tables = PostgresTables(connection, shown(address))
                if tables.meta("origin") is not None:
                    raise LedgerError(
                        f"{shown(address)} already holds the log {tables.meta('origin')}",
                        hint="open it, or name another database",
                    )
                tables.set_meta("origin", origin)
                tables.set_meta("vkey", str(key.verifier))
                tables.set_state(Checkpoint(origin, 0, merkle.EMPTY_ROOT).sign(key))
                save_key(key_path(path), key, passphrase)  # last: the log begins to be when its key is safe
        return cls(address, path, guard=guard, passphrase=passphrase)

    @classmethod
    def open(cls, address: str, path: Path, *, guard: Path, passphrase: str | None = None) -> PostgresLedger:
        """Open a log; older tables are brought up to date.

        Raises:
            LedgerError: the server is out of reach, or holds no log, or one made by a newer version.
        """
        return cls(address, path, guard=guard, passphrase=passphrase)

    @staticmethod
    def exists(address: str) -> bool:
        """Whether a database holds a log that is complete."""
        with connect(address) as connection, translated(shown(address)):
            if schema.version(connection) is None:
                return False
            return PostgresTables(connection, shown(address)).meta("checkpoint") is not None

    def close(self) -> None:
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
            self._local = threading.local()
        if hasattr(self, "_writer"):
            self._writer.close()

    @contextlib.contextmanager
    def view(self) -> Iterator[PostgresTables]:
        held: PostgresTables | None = getattr(self._local, "tables", None)
        if held is not None:
            yield held
            return
        with translated(self.where), self._reading() as connection:
            local, tables = self._local, PostgresTables(connection, self.where)
            local.tables = tables
            try:
                yield tables
            finally:
                local.tables = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Rows]:
        with self.view() as tables:
            yield tables.rows

    @contextlib.contextmanager
    def writing(self) -> Iterator[Rows]:
        with self._writer.exclusive():
            yield self._writer.rows

    @property
    def database_version(self) -> int:
        with self.view() as tables:
            return int(tables.meta("schema") or 0)

    @property
    def stored_bytes(self) -> int:
        query = """SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
            WHERE relnamespace = %s::regnamespace AND relkind = 'r'"""
        with translated(self.where), self._reading() as connection:
            row = connection.execute(query, (SCHEMA,)).fetchone()
        return int(row[0]) if row else 0

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """This thread's connection, in a transaction; one that died while it was idle is replaced."""
        connection = self._reader()
        try:
            connection.execute(f"BEGIN {READ}".encode())
        except psycopg.OperationalError:
            connection = self._reader(fresh=True)
            connection.execute(f"BEGIN {READ}".encode())
        try:
            yield connection
        finally:
            with contextlib.suppress(psycopg.Error):
                connection.execute("ROLLBACK")  # nothing was written

    def _reader(self, *, fresh: bool = False) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed or fresh:
            connection = connect(self.address)
            self._local.connection = connection
            with self._readers_lock:
                self._readers = [one for one in self._readers if not one.closed]
                self._readers.append(connection)
        return connection
