"""Moving a log from its file to a PostgreSQL server, and back; resumable at every step.

The order makes a second history impossible. The entries are copied page by page while the source takes none, and the
tree over them must come out as the one that is signed; then the source is marked as moved and refuses to grow; only
then the target gets its checkpoint and can be opened; last, this machine's settings name the new place. Whoever is
interrupted runs the same command again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from provenance.errors import ForkError, LedgerError, UsageError
from provenance.home import Home
from provenance.ledger import merkle
from provenance.ledger.embedded import discoverable, lookup, schema
from provenance.ledger.embedded.guard import Guard, relative
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.rows import Prepared, commitment_in, record_in
from provenance.ledger.embedded.tables import SqliteTables
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.opening import database_address, keep_address, open_ledger
from provenance.ledger.tables import Tables

_PAGE = 2048


@dataclass(frozen=True)
class Migrated:
    """What a migration did.

    Attributes:
        origin: the log's name.
        source, target: where it was and where it is, without secrets.
        size: its entries.
        copied: those that this run copied; an earlier one that was interrupted may have copied others.
        kept: the file it lay in before, or None.
    """

    origin: str
    source: str
    target: str
    size: int
    copied: int
    kept: Path | None


class _Target(Protocol):
    """A database that becomes the log's."""

    where: str

    def transaction(self) -> AbstractContextManager[Tables]: ...

    def origin(self) -> tuple[str, str] | None:
        """Name and key of the log it holds or began to hold."""
        ...

    def claim(self, origin: str, key: str) -> None:
        """Begin to hold a log."""
        ...


def to_server(home: Home, address: str, *, progress: Callable[[float], None] | None = None) -> Migrated:
    """Move a home's embedded log to a PostgreSQL database.

    Args:
        address: ``postgresql://USER@HOST:PORT/DATABASE``; it may hold an interrupted or older copy of this log.
        progress: called with the part done, 0 to 1.

    Raises:
        UsageError: the log lies in another database already.
        ForkError: the database holds another history of this log.
        LedgerError: it holds another log, or cannot be used.
    """
    from provenance.ledger.postgres.moving import ServerTarget

    present = database_address(home)
    if present is not None and present != address:
        raise UsageError(
            "the log lies on a PostgreSQL server already", hint="move it back first: --to embedded"
        )
    if present is not None:
        with open_ledger(home) as log:
            done = Migrated(log.origin, str(home.ledger), log.where, log.size, 0, _put_aside(home.ledger))
        return done
    with LocalLedger.open(home.ledger) as source, contextlib.closing(ServerTarget(address)) as target:
        copied, note = _move(source, target, progress)
        Guard(home.guard).write(note, durable=True)
        keep_address(home, address)
        done = Migrated(source.origin, source.where, target.where, _size(note), copied, None)
    return Migrated(**{**vars(done), "kept": _put_aside(home.ledger)})


def to_file(home: Home, *, progress: Callable[[float], None] | None = None) -> Migrated:
    """Move a home's log from its PostgreSQL database back into the file ``ledger.sqlite3``.

    The database keeps its copy, which takes no more entries.

    Raises:
        UsageError: the log is embedded already.
        ForkError, LedgerError: as for :func:`to_server`.
    """
    if database_address(home) is None:
        raise UsageError("the log is embedded already", hint="name a database: --to postgresql://...")
    with open_ledger(home) as source:
        if home.ledger.exists():  # an earlier run came this far, or an old copy came back
            with LocalLedger.open(home.ledger) as found:
                if (found.origin, found.log_key) != (source.origin, source.log_key):
                    raise LedgerError(f"{home.ledger} holds another log", hint="move that file away")
                if found.checkpoint() != source.checkpoint() or _moved(found) or not _moved(source):
                    raise LedgerError(
                        f"{home.ledger} is not what this migration made", hint="move that file away"
                    )
                size, copied = found.size, 0
        else:
            part = home.ledger.with_name(home.ledger.name + ".part")
            with contextlib.closing(_FileTarget(part, home.guard, home.ledger)) as target:
                copied, note = _move(source, target, progress)
                size = _size(note)
            part.replace(home.ledger)
        keep_address(home, None)
        return Migrated(source.origin, source.where, str(home.ledger), size, copied, None)


def _move(source: Log, target: _Target, progress: Callable[[float], None] | None) -> tuple[int, Note]:
    """Copy what is missing, mark the source, complete the target; the number of entries copied, the checkpoint."""
    source.require_no_fork()
    with source.frozen() as tables:
        note, checkpoint = tables.state()
        if (place := tables.moved()) not in (None, target.where):
            raise LedgerError(
                f"this log is on its way to {place} since an earlier migration",
                hint="finish that one first: run it again with the same --to",
            )
        copied = _copy(source, tables, checkpoint, target, progress)
        with target.transaction() as written:
            if checkpoint.size and written.nodes.root(checkpoint.size) != checkpoint.root:
                raise ForkError(f"what was copied to {target.where} is not what the log signed")
            for kept in reversed(tables.kept()):
                at = round(datetime.fromisoformat(kept.at).timestamp())
                written.keep(kept.note, kept.kind, kept.place, at=at)
            discoverable.copy(tables.rows, written.rows)
            written.set_numbered(tables.numbered())
        tables.set_moved(target.where)
    with target.transaction() as written:
        written.set_state(note)
        written.set_moved(None)
    return copied, note


def _copy(
    source: Log,
    tables: Tables,
    checkpoint: Checkpoint,
    target: _Target,
    progress: Callable[[float], None] | None,
) -> int:
    name = source.origin, source.log_key
    held = target.origin()
    if held is None:
        target.claim(*name)
    elif held != name:
        raise LedgerError(f"{target.where} holds the log {held[0]}", hint="name another database")
    with target.transaction() as written:
        last = written.last()
        begin = 0 if last is None else last + 1
        if begin > checkpoint.size or (begin and written.nodes.root(begin) != tables.nodes.root(begin)):
            raise ForkError(
                f"{target.where} holds {begin} entries of another history of this log",
                hint="find out which one was used last; empty the other database",
            )
    for start in range(begin, checkpoint.size, _PAGE):
        stop = min(start + _PAGE, checkpoint.size)
        items, times = _page(tables, start, stop)
        with target.transaction() as written:
            written.insert(start, items, times)
            written.nodes.append(start, [item.leaf for item in items])
        if progress:
            progress(stop / checkpoint.size)
    return checkpoint.size - begin


def _page(tables: Tables, start: int, stop: int) -> tuple[list[Prepared], list[int]]:
    """Entries as they are stored, ready to be stored elsewhere."""
    features = tables.features(start, stop)
    items, times = [], []
    for index, stored in enumerate(tables.read(start, stop), start=start):
        if stored is None or stored.head is None:
            raise LedgerError(
                f"entry {index} is missing", hint="run `veilmark ledger audit`, then restore a backup"
            )
        record = record_in(stored).record
        named = dict.fromkeys((record.file_sha256, record.source_sha256, record.manifest_sha256))
        items.append(
            Prepared(
                head=stored.head,
                stored=stored.opening,
                leaf=merkle.leaf_hash(commitment_in(stored)),
                keys=[lookup.base_key(value) for value in named if value is not None],
                features=features.get(index),
            )
        )
        times.append(stored.logged_at)
    return items, times


class _FileTarget:
    """A database file that becomes the log's when it is complete and gets its name."""

    def __init__(self, part: Path, guard: Path, final: Path) -> None:
        self.where = str(final)
        self._path = part
        self._guard = relative(guard, final)
        self._connection = schema.connect(part, create=not part.exists())

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tables]:
        with schema.translated(self._path), schema.transaction(self._connection):
            yield SqliteTables(self._connection)

    def origin(self) -> tuple[str, str] | None:
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        return (str(meta["origin"]), str(meta["vkey"])) if "vkey" in meta else None

    def claim(self, origin: str, key: str) -> None:
        meta = {"origin": origin, "vkey": key, "guard": self._guard}
        with schema.translated(self._path), schema.transaction(self._connection):
            self._connection.executemany("INSERT INTO meta(key, value) VALUES (?, ?)", meta.items())


def _put_aside(path: Path) -> Path | None:
    """Give the file that the log lay in another name; it is marked as moved, and kept as a copy."""
    if not path.exists():
        return None
    kept = path.with_name(path.name + ".migrated")
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.replace(kept.with_name(kept.name + suffix))
    return kept


def _moved(log: Log) -> str | None:
    with log.view() as tables:
        return tables.moved()


def _size(note: Note) -> int:
    return Checkpoint.parse(note.text).size
