"""How entries lie in the ledger's tables: an opening in parts, and its look-up keys."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from provenance.errors import LedgerError, ReceiptError, UsageError
from provenance.ledger import merkle
from provenance.ledger.nodes import row_id
from provenance.record import MAX_OPENING_BYTES, Opening, Record, SignedRecord, commitment_to

SALT_BYTES = 32
MAX_FEATURES_BYTES = 8 * 1024 * 1024
_RECORD_FIELD = b',"record":'
_INDEX_BITS = 32


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes:
        index: zero-based place in the log.
        opening: the salt and the signed record.
        logged_at: the log's own clock when it took the entry, RFC 3339 UTC.
        features: private descriptors for similarity search, if any.
    """

    index: int
    opening: Opening
    logged_at: str
    features: bytes | None = None

    @property
    def record(self) -> Record:
        return self.opening.signed.record


@dataclass(frozen=True)
class Prepared:
    """An opening ready to be stored: everything that needs no database."""

    salt: bytes
    head: bytes
    tail: bytes
    leaf: bytes
    file_sha256: str
    hashes: frozenset[str]
    features: bytes | None

    @property
    def stored(self) -> bytes:
        return self.salt + self.tail


def prepare(opening: Opening, features: bytes | None) -> Prepared:
    """Split an opening into what all records of its signer share (algorithm, certificates) and the rest.

    Raises:
        UsageError: opening or features are over their limits.
    """
    body = opening.signed.canonical
    if len(opening.salt) != SALT_BYTES or len(body) > MAX_OPENING_BYTES - 256:
        raise UsageError(f"an opening of {len(body)} bytes is over the limit of {MAX_OPENING_BYTES}")
    if features is not None and len(features) > MAX_FEATURES_BYTES:
        raise UsageError(f"features of {len(features)} bytes are over the limit of {MAX_FEATURES_BYTES}")
    cut = max(body.find(_RECORD_FIELD), 0)
    record = opening.signed.record
    hashes = {record.file_sha256, record.source_sha256, record.manifest_sha256} - {None}
    return Prepared(
        salt=opening.salt,
        head=body[:cut],
        tail=body[cut:],
        leaf=merkle.leaf_hash(commitment_to(opening.salt, body)),
        file_sha256=record.file_sha256,
        hashes=frozenset(str(value) for value in hashes),
        features=features,
    )


def lookup_key(sha256_hex: str, index: int) -> int:
    """The first 31 bits of a hash, then the entry's index in 32 bits: a positive 63-bit integer."""
    return (int(sha256_hex[:8], 16) >> 1) << _INDEX_BITS | index


def candidates(connection: sqlite3.Connection, sha256_hex: str, limit: int) -> list[int]:
    """Entries that may name this hash, in log order; a rare one may not (31 bits), so look at the record."""
    low = lookup_key(sha256_hex, 0)
    high = low | (1 << _INDEX_BITS) - 1
    query = "SELECT key FROM lookup WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"
    return [key & (1 << _INDEX_BITS) - 1 for (key,) in connection.execute(query, (low, high, limit))]


def find_same(connection: sqlite3.Connection, item: Prepared) -> int | None:
    """Index of the entry that already holds this very opening."""
    low = lookup_key(item.file_sha256, 0)
    query = "SELECT key FROM lookup WHERE key BETWEEN ? AND ?"
    for (key,) in connection.execute(query, (low, low | (1 << _INDEX_BITS) - 1)):
        index = int(key) & (1 << _INDEX_BITS) - 1
        found = connection.execute("SELECT hash FROM nodes WHERE id = ?", (row_id(0, index),)).fetchone()
        if found and found[0] == item.leaf:
            return index
    return None


_SELECT = """SELECT entries.id, entries.logged_at, entries.opening, signers.head, features.data, nodes.hash
    FROM entries LEFT JOIN signers ON signers.id = entries.signer
    LEFT JOIN features ON features.entry = entries.id
    LEFT JOIN nodes ON nodes.id = entries.id * 16"""


def select_entries(connection: sqlite3.Connection, start: int, stop: int) -> Iterator[Entry]:
    """Entries ``[start, stop)`` in log order, each checked against its leaf in the tree.

    Raises:
        LedgerError: an entry is not what its leaf commits to.
    """
    rows = connection.execute(f"{_SELECT} WHERE entries.id >= ? AND entries.id < ? ORDER BY 1", (start, stop))
    for row in rows:
        yield _entry_of(*row)


def commitment_in_row(opening: bytes, head: bytes) -> bytes:
    """The commitment to an opening as it is stored."""
    return commitment_to(opening[:SALT_BYTES], head + opening[SALT_BYTES:])


def _entry_of(
    index: int, logged_at: int, opening: bytes, head: bytes | None, features: bytes | None, leaf: bytes | None
) -> Entry:
    if head is None or leaf is None or merkle.leaf_hash(commitment_in_row(opening, head)) != leaf:
        raise LedgerError(
            f"entry {index} is not what the tree commits to",
            hint="the database was damaged or altered: run `veilmark ledger audit`, then restore a backup",
        )
    try:
        signed = SignedRecord.from_json(json.loads(head + opening[SALT_BYTES:]))
    except (ValueError, ReceiptError) as error:
        raise LedgerError(
            f"entry {index} cannot be parsed: {error}", hint="run `veilmark ledger audit`"
        ) from error
    when = datetime.fromtimestamp(logged_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Entry(index, Opening(opening[:SALT_BYTES], signed), when, features)
