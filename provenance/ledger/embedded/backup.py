"""Backup, restore and export of the log."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import ForkError, LedgerError, MissingPathError, ReceiptError
from provenance.ledger.embedded import schema
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.state import current
from provenance.ledger.keys import key_path
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint
from provenance.media.files import refuse_existing, replacing, write_bytes
from provenance.record import MAX_OPENING_BYTES, Opening

EXPORT_TYPE = "veilmark.export/1"
_MAX_LINE_BYTES = 16 * 1024 * 1024
_BACKUP_PAGES = 1 << 16


@dataclass(frozen=True)
class BackupReport:
    """What was copied: file, entries, bytes, and the key's copy when it was asked for."""

    path: Path
    size: int
    bytes: int
    key: Path | None = None


@dataclass(frozen=True)
class RestoreReport:
    """What was put back.

    Attributes:
        path: the ledger.
        size: its entries.
        previous_size: entries of the ledger that was replaced, or None when there was none.
        fork: why it will not sign, when it is older than what the log signed; None when it will.
    """

    path: Path
    size: int
    previous_size: int | None
    fork: ForkError | None


@dataclass(frozen=True)
class ExportReport:
    """What was exported: folder, entries, and whether private features are included."""

    folder: Path
    size: int
    features: bool


def backup(
    ledger: LocalLedger, target: Path, *, include_key: bool = False, force: bool = False
) -> BackupReport:
    """Copy the database, as of now, into one file (mode 0600) while the log stays in use.

    Args:
        ledger: the log.
        target: the file to make.
        include_key: also copy the signing key beside it; keep such a backup as safe as the key.
        force: overwrite an existing file.

    Raises:
        OutputExistsError, NotWritableError: the target.
    """
    with replacing(target, force=force, mode=0o600) as temporary, schema.translated(ledger.path):
        with contextlib.closing(sqlite3.connect(temporary)) as copy:
            with ledger.reading() as source:
                source.backup(copy, pages=_BACKUP_PAGES)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        size = peek(temporary).size
    key = None
    if include_key:
        key = key_path(target)
        write_bytes(key, key_path(ledger.path).read_bytes(), force=force, mode=0o600)
    return BackupReport(target, size, target.stat().st_size, key)


def restore(source: Path, path: Path, *, force: bool = False) -> RestoreReport:
    """Put a backup in place of a ledger that no process has open; what was there is kept as ``.replaced``.

    Key and guard of the ledger stay as they are; a key beside the backup is used when there is none.

    A ledger with more entries than the backup is kept unless ``force``; even then the restored log refuses
    to sign as long as the guard remembers more (see :class:`ForkError`), but can be read, and
    :func:`catch_up` can add the missing entries from an export.

    Raises:
        MissingPathError: no such backup.
        LedgerError: it is not a ledger, is damaged, or holds less than the present one.
    """
    if not source.is_file():
        raise MissingPathError(f"no backup at {source}")
    size = peek(source).size
    previous = None
    with contextlib.suppress(LedgerError, ReceiptError, MissingPathError):  # a damaged one is why we are here
        previous = peek(path).size
    if previous is not None and previous > size and not force:
        raise LedgerError(
            f"{path} has {previous} entries, the backup only {size}",
            hint="add --force to put it back all the same; entries made since would be lost",
        )
    with replacing(path, mode=0o600) as temporary:
        shutil.copyfile(source, temporary)
        for suffix in ("", "-wal", "-shm"):
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.replace(path.with_name(f"{path.name}.replaced{suffix}"))
    key = key_path(source)
    if key.is_file() and not key_path(path).exists():
        write_bytes(key_path(path), key.read_bytes(), mode=0o600)
    with LocalLedger.open(path) as ledger:
        return RestoreReport(path, ledger.size, previous, ledger.fork)


def export(
    ledger: Log,
    folder: Path,
    *,
    features: bool = False,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
) -> ExportReport:
    """Write everything as plain files: ``entries.jsonl`` (openings; private), ``checkpoint``, ``log.vkey``.

    Args:
        ledger: the log.
        folder: made when missing.
        features: include the private similarity features.
        force: overwrite an earlier export.
        progress: called with the part done, 0 to 1.
    """
    note = ledger.note()
    size = Checkpoint.parse(note.text).size
    target = folder / "entries.jsonl"
    refuse_existing(target, force)
    with replacing(target, force=force, mode=0o600) as temporary, temporary.open("w") as stream:
        stream.write(json.dumps({"type": EXPORT_TYPE, "origin": ledger.origin, "size": size}) + "\n")
        for entry in ledger.entries(0, size):
            line = {
                "index": entry.index,
                "logged_at": entry.logged_at,
                "opening": base64.b64encode(entry.opening.to_bytes()).decode(),
            }
            if features and entry.features is not None:
                line["features"] = base64.b64encode(entry.features).decode()
            stream.write(json.dumps(line) + "\n")
            if progress and entry.index % 1000 == 0:
                progress(entry.index / size)
    write_bytes(folder / "checkpoint", str(note).encode())
    write_bytes(folder / "log.vkey", f"{ledger.log_key}\n".encode())
    return ExportReport(folder, size, features)


def read_export(folder: Path) -> Iterator[tuple[int, Opening, bytes | None]]:
    """``(index, opening, features)`` of an export, in log order.

    Raises:
        MissingPathError: there is none.
        ReceiptError: a line is malformed, too long, or out of order.
    """
    file = folder / "entries.jsonl"
    if not file.is_file():
        raise MissingPathError(f"no export in {folder}", hint="name the folder `veilmark ledger export` made")
    with file.open("rb") as stream:
        header = _line(stream.readline(_MAX_LINE_BYTES), 0)
        if header.get("type") != EXPORT_TYPE:
            raise ReceiptError(f"{file} is not a {EXPORT_TYPE}")
        expected = 0
        while line := stream.readline(_MAX_LINE_BYTES):
            entry = _line(line, expected + 1)
            try:
                opening = Opening.from_bytes(
                    base64.b64decode(entry["opening"], validate=True)[:MAX_OPENING_BYTES]
                )
                blob = base64.b64decode(entry["features"], validate=True) if "features" in entry else None
            except (KeyError, TypeError, ValueError) as error:
                raise ReceiptError(f"{file}, entry {expected}: {error}") from error
            if entry.get("index") != expected:
                raise ReceiptError(f"{file}: entry {expected} is missing or out of order")
            yield expected, opening, blob
            expected += 1


def catch_up(ledger: Log, folder: Path) -> int:
    """Add to a restored log the entries it lost, from an export; returns how many.

    They are added only if the result is exactly the last state that the log signed, so that there is
    never a second history; after that the log signs again once it is reopened.

    Raises:
        ForkError: the export does not lead to that state.
    """
    size = ledger.size
    missing = [(opening, blob) for index, opening, blob in read_export(folder) if index >= size]
    return ledger.adopt([opening for opening, _ in missing], [blob for _, blob in missing])


def peek(path: Path) -> Checkpoint:
    """The last checkpoint in a ledger file, which is neither migrated nor otherwise touched.

    Raises:
        MissingPathError: there is no such file.
        LedgerError: it is not a ledger, or damaged.
    """
    if not path.is_file():
        raise MissingPathError(f"no ledger at {path}")
    with schema.translated(path):
        address = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            schema.require_ledger(connection, path)
            return current(connection)[1]


def _line(data: bytes, number: int) -> dict[str, Any]:
    try:
        parsed = strict_json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"line {number + 1} of the export is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ReceiptError(f"line {number + 1} of the export is not an object")
    return parsed
