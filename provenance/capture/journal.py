"""What a hot folder has already done: durable, so that a restart neither repeats nor forgets."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import LedgerError, UsageError
from provenance.media.files import private_database
from provenance.record import now_utc

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256   TEXT NOT NULL,
    output   TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('started', 'signed', 'failed', 'skipped')),
    message  TEXT NOT NULL,
    time     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_hash ON files (sha256);
CREATE INDEX IF NOT EXISTS by_output ON files (output);
"""


@dataclass(frozen=True)
class Entry:
    """One file of the folder; ``path`` is relative to it, ``output`` absolute (or empty).

    ``state``: ``started`` (an attempt that may have been cut off), ``signed``, ``failed`` or ``skipped``.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    output: str
    state: str
    message: str


class Journal:
    """The journal of one hot folder; one process at a time, several threads.

    Raises:
        UsageError: another process watches with this journal.
        LedgerError: the file is damaged or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            # held for as long as the process lives, and released by the system when it dies
            lock = private_database(path.with_name(path.name + ".lock"))
            self._guard = sqlite3.connect(lock, timeout=0, check_same_thread=False)
            self._guard.isolation_level = None
            self._guard.execute("BEGIN EXCLUSIVE")
            private_database(path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError(f"another process watches with {path}", hint="stop it first") from error
            raise LedgerError(f"cannot open {path}: {error}") from error
        except OSError as error:
            raise LedgerError(f"cannot open {path}: {error.strerror or error}") from error
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False)
            self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        except sqlite3.DatabaseError as error:
            self._guard.close()
            raise LedgerError(
                f"{path} is damaged: {error}", hint="remove it; then signed files are found anew"
            ) from error

    def close(self) -> None:
        """Let another process watch."""
        self._database.close()
        self._guard.close()

    def get(self, path: str) -> Entry | None:
        return self._one("path = ?", path)

    def find_signed(self, sha256: str) -> list[Entry]:
        """Files with this content that were signed."""
        return self._many("sha256 = ? AND state = 'signed'", sha256)

    def is_taken(self, output: str) -> bool:
        """Whether an output name belongs to some file already."""
        return self._one("output = ?", output) is not None

    def put(self, entry: Entry, *, instead_of: str = "") -> None:
        """Write an entry, and drop the one of path ``instead_of``; it is on the disk when this returns."""
        values = (
            entry.path,
            entry.size,
            entry.mtime_ns,
            entry.sha256,
            entry.output,
            entry.state,
            entry.message,
        )
        with self._lock, self._database:
            statement = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            if instead_of:
                self._database.execute("DELETE FROM files WHERE path = ?", (instead_of,))
            self._database.execute(statement, (*values, now_utc()))

    def recover(self) -> list[Entry]:
        """Settle attempts that were cut off; returns those that had finished.

        An output appears under its name only when its signing is complete, and the name was reserved for this
        attempt: where it is there, the file is signed; where not, the attempt is forgotten and made again.
        """
        finished = []
        for entry in self._many("state = 'started'"):
            if Path(entry.output).exists():
                done = Entry(**{**vars(entry), "state": "signed"})
                self.put(done)
                finished.append(done)
            else:
                with self._lock, self._database:
                    self._database.execute("DELETE FROM files WHERE path = ?", (entry.path,))
        return finished

    def counts(self) -> dict[str, int]:
        """State to number of files."""
        with self._lock:
            return dict(self._database.execute("SELECT state, count(*) FROM files GROUP BY state"))

    def _one(self, where: str, *values: str) -> Entry | None:
        found = self._many(where + " LIMIT 1", *values)
        return found[0] if found else None

    def _many(self, where: str, *values: str) -> list[Entry]:
        columns = "path, size, mtime_ns, sha256, output, state, message"
        with self._lock:
            rows = self._database.execute(f"SELECT {columns} FROM files WHERE {where}", values)  # noqa: S608
            return [Entry(*row) for row in rows]
