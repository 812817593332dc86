"""How entries lie in the ledger's tables: an opening in parts, and its look-up keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from provenance import strict_json
from provenance.errors import UsageError
from provenance.ledger import merkle
from provenance.ledger.embedded import lookup
from provenance.ledger.embedded.entries import Stored
from provenance.record import MAX_OPENING_BYTES, Opening, Record, SignedRecord, commitment_to

SALT_BYTES = 32
MAX_FEATURES_BYTES = 8 * 1024 * 1024


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


class Prepared(NamedTuple):
    """An opening ready to be stored: everything that needs no database.

    Attributes:
        head: what all records of the signer begin with.
        stored: salt and the rest of the record's canonical bytes.
        leaf: its leaf hash.
        keys: base keys of its hashes, the file's first, see :mod:`provenance.ledger.embedded.lookup`.
        features: private descriptors.
    """

    head: bytes
    stored: bytes
    leaf: bytes
    keys: list[int]
    features: bytes | None


def prepare(opening: Opening, features: bytes | None) -> Prepared:
    """Split an opening into what all records of its signer share (algorithm, certificates) and the rest.

    Raises:
        UsageError: opening or features are over their limits.
    """
    head, tail = opening.signed.canonical_parts
    if len(opening.salt) != SALT_BYTES or len(head) + len(tail) > MAX_OPENING_BYTES - 256:
        raise UsageError(f"an opening of {len(head) + len(tail)} bytes is over {MAX_OPENING_BYTES}")
    if features is not None and len(features) > MAX_FEATURES_BYTES:
        raise UsageError(f"features of {len(features)} bytes are over the limit of {MAX_FEATURES_BYTES}")
    record = opening.signed.record
    named = dict.fromkeys((record.file_sha256, record.source_sha256, record.manifest_sha256))
    return Prepared(
        head=head,
        stored=opening.salt + tail,
        leaf=merkle.leaf_hash(commitment_to(opening.salt, head + tail)),
        keys=[lookup.base_key(value) for value in named if value is not None],
        features=features,
    )


def commitment_in(item: Stored) -> bytes:
    """The commitment to an opening as it is stored."""
    return commitment_to(item.opening[:SALT_BYTES], (item.head or b"") + item.opening[SALT_BYTES:])


def record_in(item: Stored) -> SignedRecord:
    """The signed record as it is stored; ReceiptError or ValueError when it cannot be parsed."""
    return SignedRecord.from_json(strict_json.loads((item.head or b"") + item.opening[SALT_BYTES:]))
