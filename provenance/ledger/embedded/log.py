"""The embedded log: a transparency log in one SQLite file, without server, chain or network."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from provenance.errors import LedgerError
from provenance.ledger import merkle
from provenance.ledger.embedded import schema
from provenance.ledger.embedded.fork import find_fork
from provenance.ledger.embedded.guard import Guard, default_guard, relative
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.embedded.tables import SqliteTables
from provenance.ledger.embedded.writer import SqliteWriter
from provenance.ledger.keys import key_path, save_key
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, SigningKey

__all__ = ["Entry", "LocalLedger"]


class LocalLedger(Log):
    """A log in one file; use :meth:`create` or :meth:`open`, and as a context manager.

    Beside the database lie the signing key (``.key``), the guard (``.guard``: what was last signed, against
    restored old copies) and a lock file.
    """

    def __init__(self, path: Path, *, passphrase: str | None = None) -> None:
        self.path, self.where = path, str(path)
        self._passphrase = passphrase
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        try:
            meta = self._meta()
            self.origin, self.log_key = meta["origin"], meta["vkey"]
            self._guard = Guard(path.parent / meta["guard"])
            self._writer: SqliteWriter = SqliteWriter(path, self._guard, self._signing_key)
            remembered = self._guard.read()  # before the database, which may only be ahead of it
            self.fork = find_fork(self, remembered)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, path: Path, *, origin: str, passphrase: str | None = None, guard: Path | None = None
    ) -> LocalLedger:
        """Make an empty log with a fresh key.

        Args:
            path: the database file to make.
            origin: the log's unique name, such as ``example.org/log``; no spaces, no plus sign.
            passphrase: encrypts the key file.
            guard: where to remember the last signed checkpoint, best outside of what gets backed up with the
                database; default beside it.

        Raises:
            LedgerError: the file exists or cannot be made.
            UsageError: the origin cannot name a log.
        """
        key = SigningKey.generate(origin)
        connection = schema.connect(path, create=True)
        try:
            save_key(key_path(path), key, passphrase)
            note = Checkpoint(origin, 0, merkle.EMPTY_ROOT).sign(key)
            meta = {
                "origin": origin,
                "vkey": str(key.verifier),
                "checkpoint": str(note),
                "guard": relative(guard or default_guard(path), path),
            }
            with schema.translated(path), schema.transaction(connection):
                connection.executemany("INSERT INTO meta(key, value) VALUES (?, ?)", meta.items())
        except BaseException:
            connection.close()
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise
        connection.close()
        return cls(path, passphrase=passphrase)

    @classmethod
    def open(cls, path: Path, *, passphrase: str | None = None) -> LocalLedger:
        """Open a log; O(log n), nothing is rebuilt.

        A database that is older than what its log signed (a restored copy) opens for reading, but
        :attr:`fork` says so and :meth:`append` refuses.

        Raises:
            MissingPathError: there is no such file.
            LedgerError: not a ledger, damaged, locked, or made by a newer version.
        """
        return cls(path, passphrase=passphrase)

    def close(self) -> None:
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
            self._local = threading.local()
        if hasattr(self, "_writer"):
            self._writer.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, inside one consistent view."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = schema.connect(self.path)
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        with schema.translated(self.path):
            if connection.in_transaction:
                yield connection
                return
            with schema.transaction(connection, "DEFERRED"):
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction of its own, for what is no part of the tree."""
        with self._writer.exclusive():
            yield self._writer.connection

    @contextlib.contextmanager
    def view(self) -> Iterator[SqliteTables]:
        with self.reading() as connection:
            yield SqliteTables(connection)

    @property
    def database_version(self) -> int:
        with self.reading() as connection:
            return schema.schema_version(connection)

    @property
    def stored_bytes(self) -> int:
        files = [self.path, self.path.with_name(self.path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def _meta(self) -> dict[str, str]:
        with self.reading() as connection:
            query = "SELECT key, value FROM meta WHERE key IN ('origin', 'vkey', 'guard')"
            meta = {str(key): str(value) for key, value in connection.execute(query)}
        if len(meta) != 3:
            raise LedgerError(
                f"{self.path} was never finished being made", hint="remove the file and create it again"
            )
        return meta
