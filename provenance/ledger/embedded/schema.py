"""The ledger's SQLite file: its tables, their versions, and plain words for what can go wrong with it.

One file holds the entries, the tree, the look-up keys and the signed checkpoints, so that an append is one
transaction. Write-ahead logging with ``synchronous=FULL`` makes a commit durable with a single fsync and lets
readers work meanwhile. The file must be on a local disk (WAL needs shared memory).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from provenance.errors import LedgerError, MissingPathError

#: ``PRAGMA application_id``: "Veil" in ASCII; ``file`` and ``sqlite3`` show it.
APPLICATION_ID = 0x5665696C
PAGE_BYTES = 4096
CHECKPOINT_PAGES = 4000
BUSY_SECONDS = 60.0

_V1 = (
    # origin, vkey, size, root, checkpoint (the last signed note), guard (path of the guard file)
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    # what all records of one signer have in common: algorithm and certificates
    "CREATE TABLE signers (id INTEGER PRIMARY KEY, head BLOB NOT NULL UNIQUE)",
    # openings: salt (32 bytes), then the signed record's canonical bytes without signers.head, see entries.py
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE chunks (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    # private descriptors for similarity search; never published
    "CREATE TABLE features (entry INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    # Merkle tree, see nodes.py
    "CREATE TABLE nodes (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL)",
    # look-up by SHA-256, all in the key, see lookup.py
    "CREATE TABLE lookup (key INTEGER PRIMARY KEY)",
)

_V2 = (
    # checkpoints that others may have seen, see checkpoints.py
    """CREATE TABLE checkpoints (
        size INTEGER NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (size, kind, place)) WITHOUT ROWID""",
)

_V3 = (
    # entries whose owner lets others find them, see discoverable.py; a seq is never used twice
    """CREATE TABLE discoverable (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL UNIQUE, manifest_id TEXT NOT NULL,
        pdq BLOB, at INTEGER NOT NULL)""",
    "CREATE INDEX discoverable_manifests ON discoverable (manifest_id)",
)

#: ``MIGRATIONS[n]`` brings a database from schema version n to n + 1.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2, _V3)
VERSION = len(MIGRATIONS)


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open the database, or make it with ``create``; migrates an older schema.

    The connection is in autocommit mode: transactions are begun by name.

    Raises:
        MissingPathError: there is no such file (unless ``create``).
        LedgerError: it exists (with ``create``), is no ledger, is damaged, locked, or of a newer version.
    """
    if create:
        _create_empty(path)
    elif not path.is_file():
        raise MissingPathError(f"no ledger at {path}", hint="run `veilmark init` first, or name another path")
    with translated(path):
        if not create and not _is_writable(path):
            return _connect_read_only(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if create:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            else:
                require_ledger(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute("PRAGMA trusted_schema = OFF")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a ledger on a medium, or in a folder, that cannot be written.

    Write-ahead logging needs files beside the database. Without pending ones it is read as it is; else a copy with
    them is read, which the system keeps until the connection is closed.
    """
    log = path.with_name(path.name + "-wal")
    if not (log.is_file() and log.stat().st_size):
        connection = _read_only(f"{path.absolute().as_uri()}?immutable=1")
    else:
        with tempfile.TemporaryDirectory(prefix="veilmark-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(log.name))
            connection = _read_only(copy.as_uri())
            connection.execute("PRAGMA journal_mode = DELETE")  # nothing beside it is needed from here on
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    try:
        require_ledger(connection, path)
        if schema_version(connection) != VERSION:
            raise LedgerError(
                f"the ledger {path} has another schema version and cannot be written",
                hint="copy it to where it can be written",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _read_only(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """A named transaction: ``IMMEDIATE`` to write, ``DEFERRED`` for one consistent view to read."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a :class:`LedgerError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        raise LedgerError(f"ledger {path}: {text}", hint=_hint_for(text)) from error


def schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _hint_for(text: str) -> str:
    hints = {
        "not a database": "this file is no veilmark ledger; name another path",
        "malformed": "the database is damaged: keep a copy, then `veilmark ledger restore` from a backup",
        "disk I/O": "the disk failed or the file was cut short: keep a copy, then restore from a backup",
        "locked": f"another program kept it locked for {BUSY_SECONDS:.0f} s; try again when it is done",
        "full": "free some disk space; nothing that was acknowledged is lost",
        "readonly": "check the permissions of the file and of its folder",
        "unable to open": "check the permissions of the file and of its folder",
    }
    return next((hint for word, hint in hints.items() if word in text), "run `veilmark ledger audit`")


def _create_empty(path: Path) -> None:
    """Reserve the file, 0600, so that two creators cannot both think it is theirs."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise LedgerError(f"{path} already exists", hint="open it, or name another path") from None
    except OSError as error:
        raise LedgerError(
            f"cannot create {path}: {error.strerror or error}", hint="check the folder's permissions"
        ) from error


def require_ledger(connection: sqlite3.Connection, path: Path) -> None:
    """LedgerError unless the database carries our application id."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise LedgerError(
            f"{path} is a database, but not a veilmark ledger",
            hint="name the ledger's file, or `veilmark init`",
        )


def _migrate(connection: sqlite3.Connection) -> None:
    version = schema_version(connection)
    if version > VERSION:
        raise LedgerError(
            f"the ledger has schema version {version}, this veilmark knows up to {VERSION}",
            hint="upgrade veilmark",
        )
    if version == VERSION:
        return
    with transaction(connection):
        for step in MIGRATIONS[schema_version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
