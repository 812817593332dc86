"""Which records others may find on a service: none, until their owner says so for each."""

from __future__ import annotations

from provenance.errors import LedgerError, VeilmarkError
from provenance.fingerprint.pdq import BYTES, MIN_QUALITY
from provenance.ledger.embedded import discoverable
from provenance.ledger.embedded.discoverable import Listing
from provenance.ledger.log import Log
from provenance.manifest import jumbf
from provenance.record import Record
from provenance.store.local import LocalStore

WARNING = (
    "whoever can ask a service of this ledger can now find this record, and sees its opening: hashes, fingerprint, "
    "signer, times, and the manifest with its title and thumbnail. A fingerprint can be confirmed by guessing and "
    "partly turned back into a small grey picture. Taking it back does not reach those who asked before"
)


def make_discoverable(ledger: Log, store: LocalStore, entry: int) -> bool:
    """Let others find an entry; False where they may already.

    Raises:
        LedgerError: there is no such entry, or the ledger cannot be written.
    """
    record = ledger.entry(entry).record
    manifest_id = _manifest_id(record, store)
    with ledger.writing() as connection:
        return discoverable.insert(connection, entry, manifest_id, pdq_in(record))


def make_private(ledger: Log, entry: int) -> bool:
    """Let others find an entry no longer; False where they could not.

    Raises:
        LedgerError: there is no such entry, or the ledger cannot be written.
    """
    if not 0 <= entry < ledger.size:
        raise LedgerError(f"the log has no entry {entry}; its size is {ledger.size}", hint="count from zero")
    with ledger.writing() as connection:
        return discoverable.delete(connection, entry)


def listings(ledger: Log) -> list[Listing]:
    """All discoverable entries, in the order in which they were listed."""
    with ledger.reading() as connection:
        return discoverable.after(connection, 0)


def pdq_in(record: Record) -> bytes | None:
    """A record's PDQ hash, 32 bytes; None where it has none, or one of too low a quality to identify anything."""
    value, quality = record.fingerprints.get("pdq"), record.fingerprints.get("pdq_quality")
    if not isinstance(value, str) or not isinstance(quality, int) or quality < MIN_QUALITY:
        return None
    try:
        code = bytes.fromhex(value)
    except ValueError:
        return None
    return code if len(code) == BYTES else None


def _manifest_id(record: Record, store: LocalStore) -> str:
    """The active manifest's label; empty where there is no manifest, or the store has lost it."""
    if not record.manifest_cid:
        return ""
    try:
        return jumbf.active_label(store.get(record.manifest_cid))
    except (VeilmarkError, jumbf.MalformedError):
        return ""
