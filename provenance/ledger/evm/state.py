"""What this machine knows about its own anchors, kept in ``data/anchors.sqlite3``.

Each change is durable before the step that follows from it, so that a program killed at any moment goes on
where it was: a transaction is written down, signed, before it is sent.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import LedgerError
from provenance.home import Home
from provenance.ledger.evm.claim import AnchorClaim, AnchorKey
from provenance.ledger.evm.fees import Fees
from provenance.ledger.evm.transact import Sent
from provenance.media.files import private_database

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE anchors (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    owner TEXT NOT NULL,
    log_id BLOB NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    origin TEXT NOT NULL,
    content BLOB NOT NULL,
    state TEXT NOT NULL,
    sent TEXT,
    block_number INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    claim TEXT,
    note TEXT NOT NULL,
    remark TEXT NOT NULL DEFAULT '',
    updated REAL NOT NULL,
    PRIMARY KEY (chain_id, contract, owner, log_id, size)
) STRICT
"""
_COLUMNS = (
    "chain_id, contract, owner, log_id, size, root, origin, content, state, sent, block_number, attempts,"
    " claim, note, remark, updated"
)
_BUSY_SECONDS = 60.0


class AnchorState(StrEnum):
    """Where an anchor stands; only ``confirmed`` counts for a verdict."""

    NEW = "new"
    PENDING = "pending"
    MINED = "mined"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class AnchorRow:
    """One anchor of one checkpoint.

    Attributes:
        key: chain, contract, owner, log, size, root.
        origin: the log's origin line.
        content: SHA-256 of the signed checkpoint, or zeros.
        state: where it stands.
        sent: the transaction that is out, or None.
        block_number: where it is mined, or None.
        attempts: how many transactions were made for it.
        claim: the proof, once confirmed.
        note: the signed checkpoint as text, or empty where it was not given.
        remark: what happened last, for people.
        updated: Unix seconds.
    """

    key: AnchorKey
    origin: str
    content: bytes
    state: AnchorState = AnchorState.NEW
    sent: Sent | None = None
    block_number: int | None = None
    attempts: int = 0
    claim: AnchorClaim | None = None
    note: str = ""
    remark: str = ""
    updated: float = 0.0


class AnchorStore:
    """The table of anchors; safe for several processes.

    Raises:
        LedgerError: the file cannot be opened, is damaged, or was made by a newer version.
    """

    def __init__(self, home: Home) -> None:
        self.path: Path = home.data / "anchors.sqlite3"
        try:
            self._database = sqlite3.connect(
                private_database(self.path), timeout=_BUSY_SECONDS, isolation_level=None
            )
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._create()
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"{self.path} cannot be opened: {error}",
                hint="check permissions; the file only remembers anchors under way and may be moved aside",
            ) from error

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> AnchorStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def get(self, key: AnchorKey) -> AnchorRow | None:
        """The row for this anchor, or None. The root is not part of the identity: compare it."""
        rows = self._rows(
            "WHERE chain_id = ? AND contract = ? AND owner = ? AND log_id = ? AND size = ?", *_identity(key)
        )
        return rows[0] if rows else None

    def put(self, row: AnchorRow) -> AnchorRow:
        """Write a row; returns after it is durable."""
        updated = time.time()
        values = (
            *_identity(row.key),
            row.key.root,
            row.origin,
            row.content,
            row.state.value,
            json.dumps(sent_to_json(row.sent)) if row.sent else None,
            row.block_number,
            row.attempts,
            json.dumps(row.claim.to_json()) if row.claim else None,
            row.note,
            row.remark,
            updated,
        )
        marks = ", ".join("?" * len(values))
        with self._errors():
            self._database.execute(f"INSERT OR REPLACE INTO anchors VALUES ({marks})", values)  # noqa: S608
        return row

    def rows(self, *, unfinished: bool = False) -> list[AnchorRow]:
        """All anchors, oldest change first; or those that still wait for something."""
        return self._rows("WHERE state IN ('new', 'pending', 'mined')" if unfinished else "")

    def confirmed(self, log_id: bytes) -> list[AnchorRow]:
        """The confirmed anchors of a log, smallest size first."""
        rows = self._rows("WHERE state = 'confirmed' AND log_id = ?", log_id)
        return sorted(rows, key=lambda row: row.key.size)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold while looking and acting, so that two processes on this machine do not both send."""
        lock = sqlite3.connect(
            private_database(self.path.with_name(self.path.name + "-turn")),
            timeout=_BUSY_SECONDS,
            isolation_level=None,
        )
        try:
            with self._errors():
                lock.execute("BEGIN EXCLUSIVE")
            yield
        finally:
            lock.close()

    def _rows(self, where: str, *values: Any) -> list[AnchorRow]:
        query = f"SELECT {_COLUMNS} FROM anchors {where} ORDER BY updated"  # noqa: S608 - all constants
        with self._errors():
            return [_from_row(row) for row in self._database.execute(query, values)]

    def _create(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > _SCHEMA_VERSION:
            raise LedgerError(f"{self.path} was written by a newer version", hint="update veilmark")
        if version == 0:
            self._database.execute("BEGIN IMMEDIATE")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._database.execute(_SCHEMA)
                self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{self.path} cannot be used: {error}",
                hint="the file only remembers anchors under way; move it aside and anchor again",
            ) from error


def _identity(key: AnchorKey) -> tuple[Any, ...]:
    return key.chain_id, key.contract, key.owner, key.log_id, key.size


def _from_row(row: sqlite3.Row) -> AnchorRow:
    return AnchorRow(
        key=AnchorKey(*(row[name] for name in ("chain_id", "contract", "owner", "log_id", "size", "root"))),
        origin=row["origin"],
        content=row["content"],
        state=AnchorState(row["state"]),
        sent=sent_from_json(strict_json.loads(row["sent"])) if row["sent"] else None,
        block_number=row["block_number"],
        attempts=row["attempts"],
        claim=AnchorClaim.from_json(strict_json.loads(row["claim"])) if row["claim"] else None,
        note=row["note"],
        remark=row["remark"],
        updated=row["updated"],
    )


def sent_to_json(sent: Sent) -> dict[str, Any]:
    """A transaction that is out, to be kept."""
    return {
        "nonce": sent.nonce,
        "hashes": [value.hex() for value in sent.hashes],
        "raw": sent.raw.hex(),
        "fees": [sent.fees.most, sent.fees.tip],
        "gas": sent.gas,
        "since": sent.since,
    }


def sent_from_json(data: dict[str, Any]) -> Sent:
    return Sent(
        nonce=data["nonce"],
        hashes=tuple(bytes.fromhex(value) for value in data["hashes"]),
        raw=bytes.fromhex(data["raw"]),
        fees=Fees(*data["fees"]),
        gas=data["gas"],
        since=data["since"],
    )
