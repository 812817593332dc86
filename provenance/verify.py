"""The verification pipeline: from a file to a verdict with reasons.

Trust comes from the verifier's own :class:`~provenance.trust.store.TrustStore`, never from the file or the receipt
that is being checked. Nothing here uses the network unless it was asked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.claims import compare_with_ledger
from provenance.errors import (
    MediaError,
    ReceiptError,
    TamperedError,
    UntrustedSignerError,
)
from provenance.ledger.histories import Comparison, compare
from provenance.ledger.receipt import MAX_RECEIPT_BYTES, Receipt
from provenance.manifest.actions import is_synthetic
from provenance.manifest.fragments import read_fragments
from provenance.manifest.judge import conclude_expired, conclude_unsupported, judge_manifest, said_plainly
from provenance.manifest.presence import Place, find_manifest
from provenance.manifest.read import ManifestReport, read_manifest
from provenance.manifest.report import ManifestState
from provenance.manifest.tree import add_standing
from provenance.media.files import is_file, read_companion
from provenance.media.formats import ANY_FILE, RECEIPT_SUFFIX, SIDECAR_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.record import Relation
from provenance.search.lookup import Lookup, similar_records
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.revocation import check_revocations
from provenance.trust.store import TrustStore
from provenance.verdict import (
    TRUSTED_LOG,
    AnchorFinding,
    Check,
    CheckName,
    LedgerStatus,
    Signer,
    State,
    Time,
    TimeKind,
    Verdict,
)
from provenance.words import synthetic_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provenance.record import SignedRecord

_ON_CHAIN = (LedgerStatus.ANCHORED, LedgerStatus.ANCHORED_BY_RPC)
_NO_ANCHOR = "no anchor on a chain was shown"
_GOOD = (State.TRUSTED, State.VALID_UNKNOWN_SIGNER)
MAX_SIDECAR_BYTES = 256 * 1024**2
_WORTH_A_THREAD = 1024**2


@dataclass(frozen=True)
class VerifyRequest:
    """What to check against, beside the file itself.

    Attributes:
        receipt: a receipt to use; None takes ``FILE.receipt`` where it exists, else the own ledger's.
        sidecar: a manifest store to use; None takes ``FILE.c2pa`` where it exists and nothing is embedded.
        likeness: look for records of similar files in the own ledger; None does so where it could change the
            verdict, see :func:`provenance.search.lookup.similar_records`.
        online: allow fetching remote manifests and certificate status.
        fragments: what belongs to the file, where that is the initialization segment of a stream.
        check_anchor: asks the chain for the anchor of a receipt's checkpoint; None leaves it unchecked.
        require_anchor: what is not shown to be anchored counts as not checked.
    """

    receipt: Path | None = None
    sidecar: Path | None = None
    likeness: bool | None = None
    online: bool = False
    fragments: Sequence[Path] = ()
    check_anchor: Callable[[Receipt], AnchorFinding] | None = None
    require_anchor: bool = False


def verify_file(
    path: Path, trust: TrustStore, *, lookup: Lookup | None = None, request: VerifyRequest | None = None
) -> Verdict:
    """Verify one file.

    Args:
        lookup: the own ledger and its index, for the look-up by hash and likeness; None where there is none.

    Returns:
        a verdict; tampering is a verdict, not an exception.

    Raises:
        MissingPathError, MediaError: the file cannot be read at all and carries nothing to check.
        ReceiptError: the receipt that was named cannot be read.
    """
    request = request or VerifyRequest()

    # 1. The file: format by its bytes, within limits; and its exact hash.
    file, unreadable = MediaFile.open_any(path)
    media = file.format

    # 2. The manifest, embedded or side-car: hash binding, signature, certificate chain against own anchors.
    with _hashing(file):
        report = _read_credential(file, trust, request)
    digest = file.sha256
    verdict = Verdict(str(path), State.NO_CREDENTIAL, "", sha256=digest, media_type=media.mime)
    if report:
        failing = [one.url for one in report.ingredient_failures]
        add_standing(report.ingredients, report.manifest_bytes, failing, trust.anchors_pem)
        judge_manifest(verdict, report)

    # 3. The receipt: named, beside the file, or from the own ledger.
    receipt, origin = _find_receipt(verdict, path, digest, report, lookup, request)

    # 4. Its record: signed, and about this file, this manifest and this signer.
    # 5. Its place in the log: inclusion, checkpoint signed by a log that the verifier trusts, anchor.
    if receipt and _judge_record(verdict, receipt, origin, report, digest):
        _judge_log(verdict, receipt, trust, request, lookup)
        if report is None:
            _judge_signer_of_record(verdict, receipt.opening.signed, trust)

    # 6. Revocations that the verifier knows: what nothing independent dates before one no longer counts.
    _judge_revocation(verdict, trust, report, receipt)

    # 7. Every record of the same file, in log order, and of similar ones where these could speak against it.
    if lookup:
        try:
            verdict.similar = similar_records(file, lookup, trust, report, likeness=request.likeness)
        except MediaError as error:
            if report is None and receipt is None:
                raise
            verdict.warnings.append(f"not looked up by likeness: {error}")
        compare_with_ledger(verdict, lookup, report)
    elif report is None and receipt is None:
        _refuse_broken(file)
    if unreadable and report is None and verdict.ledger_status is LedgerStatus.NONE and not verdict.failed:
        raise unreadable

    # 8. The verdict.
    if request.check_anchor is not None or request.require_anchor:
        _warn_of_missing_anchor(verdict)
    verdict.synthetic = verdict.relation is Relation.SYNTHETIC or is_synthetic(verdict.source_type)
    _conclude(verdict, report)
    missing = _NO_ANCHOR in verdict.caveats
    if request.require_anchor and missing and verdict.state in _GOOD:
        verdict.state = State.NOT_CHECKED
        verdict.headline = f"no anchor on a chain was shown, and one is required; else: {verdict.headline}"
        verdict.caveats.remove(_NO_ANCHOR)
    if verdict.caveats:
        verdict.headline += "; but " + "; ".join(dict.fromkeys(verdict.caveats))
    if verdict.synthetic:
        verdict.headline = f"{synthetic_words(verdict)}: {verdict.headline}"
    return verdict


@contextlib.contextmanager
def _hashing(file: MediaFile) -> Iterator[None]:
    """Compute a file's hash on another thread meanwhile, where it is worth a thread."""
    if file.size < _WORTH_A_THREAD:
        yield
        return
    aside = threading.Thread(target=lambda: file.sha256, name="veilmark")
    aside.start()
    try:
        yield
    finally:
        aside.join()


def _refuse_broken(file: MediaFile) -> None:
    """A file without credential is still decoded, so that a broken one is not reported as merely unsigned."""
    if file.format.kind == "image":
        from provenance.fingerprint.picture import fingerprint_file

        fingerprint_file(file)


def _read_credential(file: MediaFile, trust: TrustStore, request: VerifyRequest) -> ManifestReport | None:
    path, mime = file.path, file.format.mime
    beside = with_suffix_added(path, SIDECAR_SUFFIX)
    anchors = trust.anchors
    sidecar = request.sidecar
    if sidecar is None and is_file(beside) and find_manifest(path, file.format).place is not Place.INSIDE:
        sidecar = beside  # it goes before an address that the file names
    if request.fragments:
        return read_fragments(path, mime, request.fragments, anchors_pem=anchors, online=request.online)
    if sidecar is None:
        if file.format is ANY_FILE:
            return None
        return read_manifest(path, mime, anchors_pem=anchors, online=request.online)
    data = read_companion(sidecar, MAX_SIDECAR_BYTES)
    return read_manifest(path, mime, anchors_pem=anchors, manifest_data=data, online=request.online)


def _find_receipt(
    verdict: Verdict,
    path: Path,
    digest: str,
    report: ManifestReport | None,
    lookup: Lookup | None,
    request: VerifyRequest,
) -> tuple[Receipt | None, str]:
    """The receipt to check and where it came from: ``named``, ``beside`` or ``ledger``.

    A damaged receipt that merely lies beside a file with a manifest is reported as a warning and ignored, so that
    a stray file does not prevent the check of the manifest.
    """
    if request.receipt:
        return Receipt.from_bytes(read_companion(request.receipt, MAX_RECEIPT_BYTES)), "named"
    beside = with_suffix_added(path, RECEIPT_SUFFIX)
    if is_file(beside):
        try:
            return Receipt.from_bytes(read_companion(beside, MAX_RECEIPT_BYTES)), "beside"
        except ReceiptError as error:
            if report is None:
                raise
            verdict.checks.append(Check(CheckName.RECEIPT, None, f"{beside.name} cannot be read: {error}"))
            verdict.warnings.append(f"the receipt beside the file, {beside.name}, cannot be read: {error}")
    if lookup:
        for entry in lookup.ledger.find_sha256(digest):
            if entry.opening.signed.record.file_sha256 == digest:
                return lookup.ledger.receipt(entry.index), "ledger"
        if report is not None and report.manifest_sha256:
            for entry in lookup.ledger.find_sha256(report.manifest_sha256):
                if _is_record_of(entry.opening.signed, report):
                    return lookup.ledger.receipt(entry.index), "ledger"
    return None, ""


def _judge_record(
    verdict: Verdict, receipt: Receipt, origin: str, report: ManifestReport | None, digest: str
) -> bool:
    """Whether the record is sound and about this very file; otherwise says why not."""
    signed = receipt.opening.signed
    record = signed.record
    try:
        signed.verify()
    except (TamperedError, ReceiptError) as error:
        # as below: whoever can lay a forged receipt beside a file cannot thereby spoil its manifest
        harmless = report is not None and origin == "beside"
        verdict.checks.append(Check(CheckName.RECORD_SIGNATURE, None if harmless else False, str(error)))
        verdict.warnings.append(f"the record in the receipt is not signed by the key it names: {error}")
        verdict.ledger_status = LedgerStatus.MISMATCH
        return False
    mismatches = []
    if report is not None and record.file_sha256 != digest and _is_record_of(signed, report):
        # a few bytes (box types, segment frames) are outside of what C2PA hashes; the record covers them all
        text = "the manifest is the recorded one, but the file's bytes are not: something outside of it was changed"
        verdict.checks.append(Check(CheckName.RECORD, False, text))
        return False
    if record.file_sha256 != digest:
        mismatches.append(f"it is about a file with SHA-256 {record.file_sha256[:16]}…, not {digest[:16]}…")
    if report is not None:
        if record.manifest_sha256 not in (report.manifest_sha256, None):
            mismatches.append("it names another manifest")
        if record.manifest_sha256 is not None and report.key_id and signed.key_id != report.key_id:
            mismatches.append("it was signed by another key than the manifest")
    elif record.manifest_sha256 is not None and record.file_sha256 == digest:
        verdict.warnings.append("the record names a manifest that was not found (is the side-car lost?)")
    if mismatches:
        # a valid manifest stands by itself: a foreign receipt only gives it no ledger standing
        alone = report is None
        text = "the receipt does not belong to this file: " + "; ".join(mismatches)
        verdict.checks.append(Check(CheckName.RECEIPT, False if alone or origin == "named" else None, text))
        verdict.warnings.append(text)
        verdict.ledger_status = LedgerStatus.MISMATCH
        return False
    verdict.checks.append(Check(CheckName.RECORD, True, "file, manifest and signer are those of the record"))
    verdict.relation = record.relation
    verdict.parents = [{"sha256": parent} for parent in record.parents]
    return True


def _is_record_of(signed: SignedRecord, report: ManifestReport) -> bool:
    return signed.record.manifest_sha256 == report.manifest_sha256 and signed.key_id == report.key_id


def _judge_log(
    verdict: Verdict, receipt: Receipt, trust: TrustStore, request: VerifyRequest, lookup: Lookup | None
) -> None:
    record, checkpoint = receipt.opening.signed.record, receipt.checkpoint
    verdict.ledger = {
        "origin": checkpoint.origin,
        "index": receipt.index,
        "size": checkpoint.size,
        "record_time": record.time,
    }
    verdict.times.append(Time(record.time, TimeKind.RECORD))
    try:
        verified = receipt.verify([*trust.log_keys.values(), *trust.witnesses.values()])
    except TamperedError as error:
        verdict.checks.append(Check(CheckName.LEDGER_PROOF, False, str(error)))
        return
    except UntrustedSignerError as error:
        verdict.checks.append(Check(CheckName.LEDGER, None, str(error)))
        verdict.ledger_status = LedgerStatus.UNKNOWN_LOG
        return
    beside = compare(receipt, lookup.ledger) if lookup else Comparison()
    if beside.contradiction:
        verdict.checks.append(Check(CheckName.LEDGER_PROOF, False, beside.contradiction))
        return
    if beside.ahead:
        verdict.warnings.append(beside.ahead)
    verdict.ledger_status = LedgerStatus.LOGGED
    text = f"entry {receipt.index} of {checkpoint.size} in {checkpoint.origin}"
    verdict.checks.append(Check(CheckName.LEDGER, True, text))
    witnessed = [(key.name, time) for key, time in verified.items() if time is not None]
    for name, stamp in witnessed:
        from datetime import UTC, datetime

        moment = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        verdict.times.append(Time(moment, TimeKind.WITNESSED, name))
    if request.check_anchor is not None:
        try:
            finding = request.check_anchor(receipt)
        except TamperedError as error:
            verdict.checks.append(Check(CheckName.ANCHOR, False, str(error)))
            return
        verdict.ledger_status = finding.status
        anchored = finding.status in _ON_CHAIN
        verdict.checks.append(Check(CheckName.ANCHOR, True if anchored else None, finding.detail))
        if anchored and finding.time:
            verdict.times.append(Time(finding.time, TimeKind.ANCHORED))
    elif receipt.anchors:
        verdict.ledger_status = LedgerStatus.ANCHOR_NOT_CHECKED


def _warn_of_missing_anchor(verdict: Verdict) -> None:
    """Who asks for the anchor hears why there is none."""
    if verdict.ledger_status in _ON_CHAIN or verdict.failed or verdict.signer is None:
        return
    detail = next((check.detail for check in verdict.checks if check.name is CheckName.ANCHOR), "")
    verdict.warnings.append(detail or "there is no record in a log you trust whose anchor could be checked")
    verdict.caveats.append(_NO_ANCHOR)


def _judge_signer_of_record(verdict: Verdict, signed: SignedRecord, trust: TrustStore) -> None:
    """Without a manifest the record's own certificate chain says who signed."""
    anchor = trusted_anchor(signed.chain_der, trust.anchors_pem)
    verdict.signer = Signer(
        name=signed.record.signer.get("name", ""),
        key_id=signed.key_id,
        issuer=anchor or "",
        algorithm=signed.algorithm,
        trusted=anchor is not None,
    )
    detail = (
        f"the certificate chains to {anchor}" if anchor else "the certificate chains to no anchor you trust"
    )
    verdict.checks.append(Check(CheckName.SIGNER, True if anchor else None, detail))


def _judge_revocation(
    verdict: Verdict, trust: TrustStore, report: ManifestReport | None, receipt: Receipt | None
) -> None:
    if not trust.revocations or verdict.signer is None:
        return
    chain = report.chain_der if report else receipt.opening.signed.chain_der if receipt else []
    times = [(time.kind, time.value) for time in verdict.times]
    found = check_revocations(trust.revocations, verdict.signer.key_id, times, chain_der=chain)
    if found.revocation is not None:
        verdict.checks.append(Check(CheckName.REVOCATION, found.valid, found.explanation))


def _conclude(verdict: Verdict, report: ManifestReport | None) -> None:
    failed = verdict.failed
    signer = verdict.signer
    if report and report.expired and all(check.name is CheckName.MANIFEST for check in failed):
        conclude_expired(verdict, report)
        return
    if failed:
        verdict.state = State.TAMPERED
        verdict.headline = f"does not verify: {said_plainly(failed[0].detail)}"
        return
    if report and report.state is ManifestState.UNSUPPORTED:
        conclude_unsupported(verdict, report)
        return
    by_record = report is None and verdict.ledger_status is not LedgerStatus.NONE and verdict.relation
    if signer is None or not (report or by_record):
        verdict.state = State.NO_CREDENTIAL
        similar = len(verdict.similar)
        verdict.headline = "carries no credential" + (
            f"; {similar} similar record{'s' if similar > 1 else ''} found" if similar else ""
        )
        return
    logged = verdict.ledger_status in TRUSTED_LOG
    if signer.trusted and (report or logged):
        verdict.state = State.TRUSTED
        verdict.headline = f"unchanged since {signer.name} signed it"
    else:
        verdict.state = State.VALID_UNKNOWN_SIGNER
        verdict.headline = "unchanged since it was signed"
        if not verdict.synthetic:  # which says it in front
            verdict.headline += f"; the signer's name, {signer.name!r}, is not confirmed"
    if by_record:
        verdict.headline += " (by ledger record; the file carries no manifest)"
