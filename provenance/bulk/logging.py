"""What the one process does that owns the log: log what workers prepared, each file once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance.bulk.jobs import Fingerprinted, Signed
from provenance.errors import VeilmarkError
from provenance.ledger.receipt import Receipt
from provenance.media.files import put_in_place, write_bytes
from provenance.record import Opening, Relation
from provenance.session import Session
from provenance.sign import SignRequest, SignResult, finish_recorded, finish_signed, refuse_outputs, untouched


@dataclass(frozen=True)
class Recording:
    """A file that was read, and where its receipt goes."""

    shown: Path
    receipt_path: Path | None
    found: Fingerprinted


def log_recorded(
    items: Sequence[Recording], session: Session, *, force: bool = False, discoverable: bool = False
) -> list[SignResult | VeilmarkError]:
    """Log files that were read, in one append.

    A file whose bytes this key recorded before, in an earlier run that was interrupted or as a copy beside it, keeps
    that record and gets a receipt of it.

    Raises:
        LedgerError: nothing was logged.
    """
    known: dict[str, Opening] = {}
    for item in items:
        digest = item.found.sha256
        if digest not in known:
            known[digest] = _recorded(digest, session) or untouched(
                digest, item.found.media_type, item.found.fingerprints, session
            )
    receipts = session.ledger.append(
        [known[item.found.sha256] for item in items], [item.found.features for item in items]
    )
    results: list[SignResult | VeilmarkError] = []
    for item, receipt in zip(items, receipts, strict=True):
        try:
            opening = known[item.found.sha256]
            results.append(
                finish_recorded(
                    item.shown,
                    opening,
                    receipt,
                    session,
                    item.receipt_path,
                    force=force,
                    discoverable=discoverable,
                )
            )
        except VeilmarkError as error:
            results.append(error)
    return results


def _recorded(sha256: str, session: Session) -> Opening | None:
    """The own record of an untouched file, if there is one."""
    for entry in session.ledger.find_sha256(sha256):
        record, own = entry.record, entry.opening.signed.key_id == session.identity.key_id
        if own and record.relation is Relation.RECORDED and record.file_sha256 == sha256:
            return entry.opening
    return None


def log_signed(
    items: Sequence[Signed], request: SignRequest, session: Session, *, force: bool = False
) -> list[SignResult | VeilmarkError]:
    """Log signed files in one append, then put each in its place.

    Raises:
        LedgerError: nothing was logged, and the temporary files are gone.
    """
    try:
        for item in items:
            session.keep(item.ready.manifest)  # a worker elsewhere kept it there
        receipts = session.ledger.append(
            [item.ready.opening for item in items], [item.ready.features for item in items]
        )
        results: list[SignResult | VeilmarkError] = []
        for item, receipt in zip(items, receipts, strict=True):
            try:
                results.append(_place(item, receipt, request, session, force))
            except VeilmarkError as error:
                results.append(error)
        return results
    finally:
        for item in items:
            item.temporary.unlink(missing_ok=True)


def _place(item: Signed, receipt: Receipt, request: SignRequest, session: Session, force: bool) -> SignResult:
    ready = item.ready
    receipt_path = refuse_outputs(ready.output, request, force)
    if ready.sidecar:
        write_bytes(ready.sidecar, ready.manifest, force=force)
    put_in_place(item.temporary, ready.output, force=force)
    return finish_signed(
        ready, receipt, session, receipt_path, force=force, discoverable=request.discoverable
    )
