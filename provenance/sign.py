"""The signing pipeline: from a file to a signed copy, a ledger entry and a receipt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.errors import (
    TamperedError,
    UsageError,
)
from provenance.fingerprint.picture import Fingerprint, NoFingerprint, fingerprint_file
from provenance.identity import certificates
from provenance.lineage import refuse_contradicted, trace
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.manifest.report import ManifestState
from provenance.manifest.riff import LARGE, RIFF_FORMATS, faults_of_written
from provenance.media.files import flush, refuse_existing, replacing, sha256_file, write_bytes
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX, printable_name, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.media.picture import Format
from provenance.record import Opening, Record, Relation, now_utc, sign_record

if TYPE_CHECKING:
    from provenance.ledger.receipt import Receipt
    from provenance.session import Session


@dataclass(frozen=True)
class SignRequest:
    """What the signer says about the file.

    Attributes:
        spec: the manifest's content; an empty title and the fingerprint are filled in by the pipeline. The hashes
            of its parents go into the record.
        tsa_url: RFC 3161 time-stamp authority to ask, or None (no network).
        receipt: write ``OUTPUT.receipt`` beside the output (it is kept in the store either way).
        any_file: accept bytes of unknown format, with a side-car.
        online: allow fetching a manifest from the address that the file, or a parent, names.
        extra: further public statements for the record.
        discoverable: let others find the record on a service (:mod:`provenance.resolve.listing`).
    """

    spec: ManifestSpec
    tsa_url: str | None = None
    receipt: bool = True
    any_file: bool = False
    online: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    discoverable: bool = False


@dataclass(frozen=True)
class SignResult:
    """What was written and logged; ``warnings`` say what the signer should know, one sentence each."""

    source: Path
    output: Path
    sidecar: Path | None
    receipt_path: Path | None
    record: Record
    index: int
    log_size: int
    log_origin: str
    receipt_cid: str
    warnings: list[str] = field(default_factory=list)
    discoverable: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "veilmark.signed/1",
            "source": str(self.source),
            "output": str(self.output),
            "sidecar": str(self.sidecar) if self.sidecar else None,
            "receipt": str(self.receipt_path) if self.receipt_path else None,
            "record": self.record.to_json(),
            "ledger": {"origin": self.log_origin, "index": self.index, "size": self.log_size},
            "store": {"manifest": self.record.manifest_cid, "receipt": self.receipt_cid},
            "discoverable": self.discoverable,
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Unlogged:
    """A file that is signed, or only read, and not logged yet.

    Attributes:
        source, output, sidecar: as in :class:`SignResult`.
        manifest: the manifest's bytes.
        opening, features: what is to be logged.
        warnings: as in :class:`SignResult`.
    """

    source: Path
    output: Path
    sidecar: Path | None
    manifest: bytes
    opening: Opening
    features: bytes
    warnings: list[str] = field(default_factory=list)


def sign_file(
    source: Path,
    output: Path,
    request: SignRequest,
    session: Session,
    *,
    force: bool = False,
    scratch: Path | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> SignResult:
    """Sign ``source`` into ``output``, log it, and store its manifest and receipt.

    Nothing appears under ``output`` before the ledger entry is durable; when anything fails before that, no
    file is left behind.

    Args:
        session: identity, ledger and content store to work with.
        force: overwrite existing outputs (``output`` may then equal ``source``: signing in place).
        scratch: a folder for the copy while it is not complete; default beside ``output``.
        step: called with the name of each stage when it begins.

    Raises:
        MissingPathError, MediaError: the source cannot be read.
        CheckError: the source has a credential that was not read, and no parent is named.
        ContradictionError: the own ledger calls it synthetic, and no source type is named.
        OutputExistsError, NotWritableError: the output cannot be written.
        TamperedError: the written file did not verify when read back (a bug or a failing disk).
    """
    receipt_path = refuse_outputs(output, request, force)
    with replacing(output, force=force, scratch=scratch) as signed:
        ready = prepare_signed(source, output, signed, request, session, force=force, step=step)

        # 6. The ledger: returns only when the entry is durable.
        step("ledger")
        receipt = session.ledger.append([ready.opening], [ready.features])[0]

        # 7. The side-car, then the file under its final name, then the receipt beside it.
        step("write")
        if ready.sidecar:
            write_bytes(ready.sidecar, ready.manifest, force=force)
    return finish_signed(
        ready, receipt, session, receipt_path, force=force, discoverable=request.discoverable
    )


def refuse_outputs(output: Path, request: SignRequest, force: bool) -> Path | None:
    """Where the receipt goes; OutputExistsError where it or the output is there already."""
    receipt_path = with_suffix_added(output, RECEIPT_SUFFIX) if request.receipt else None
    refuse_existing(output, force)
    if receipt_path:
        refuse_existing(receipt_path, force)
    return receipt_path


def prepare_signed(
    source: Path,
    output: Path,
    signed: Path,
    request: SignRequest,
    session: Session,
    *,
    force: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> Unlogged:
    """Sign ``source`` into the temporary file ``signed``, which is to become ``output``; nothing is logged.

    Raises:
        As :func:`sign_file`.
    """
    # 1. Format and limits.
    file = MediaFile.open(source, any_file=request.any_file)
    media = file.format
    inside = media.embeddable and not request.spec.remote_url
    sidecar = None if inside else with_suffix_added(output, SIDECAR_SUFFIX)
    if sidecar:
        refuse_existing(sidecar, force)

    with ThreadPoolExecutor(2, "veilmark") as aside:  # hashing, c2pa and the disk leave the interpreter free
        # 2. What the file is: exactly, and perceptually.
        step("fingerprint")
        hashing = aside.submit(lambda: file.sha256)
        # a cloak looks like its original; the hash of all its pixels tells their stripped copies apart
        exact = True if request.spec.relation == Relation.CLOAKED else None
        # an initialization segment shows nothing; what it shows is in its fragments
        fingerprint = (
            NoFingerprint() if request.spec.fragments else fingerprint_file(file, exact_pixels=exact)
        )
        describing = aside.submit(fingerprint.to_blob)

        # 3. The manifest, signed by the identity, embedded or side-car.
        step("manifest")
        spec = replace(
            request.spec,
            title=request.spec.title or printable_name(output),
            fingerprints=fingerprint.to_record(),
        )
        lineage = trace(file, spec, session, online=request.online)
        spec = lineage.spec
        refuse_contradicted(source, hashing.result(), fingerprint, spec, session)
        manifest = sign_manifest(
            source, signed, spec, session.identity, media=media, carries=False, tsa_url=request.tsa_url
        )

        # 4. Read back: what was written must verify before anything is claimed about it.
        step("read back")
        rehashing = aside.submit(sha256_file, signed)
        flushing = aside.submit(flush, signed)
        keeping = aside.submit(session.keep, manifest)
        _read_back(source, signed, media, session, manifest, beside=sidecar is not None)

        # 5. The record: binds source, signed file, manifest and signer.
        step("record")
        manifest_sha256, manifest_cid = keeping.result()
        flushing.result()
        opening = sign_record(
            Record(
                relation=spec.relation,
                source_sha256=hashing.result(),
                file_sha256=rehashing.result(),
                manifest_sha256=manifest_sha256,
                manifest_cid=manifest_cid,
                media_type=media.mime,
                fingerprints=fingerprint.to_record(),
                parents=lineage.parent_hashes,
                signer={"key_id": session.identity.key_id, "name": session.identity.claimed_name},
                time=now_utc(),
                extra=request.extra,
            ),
            session.identity,
        )
        return Unlogged(source, output, sidecar, manifest, opening, describing.result(), lineage.warnings)


def finish_signed(
    ready: Unlogged,
    receipt: Receipt,
    session: Session,
    receipt_path: Path | None,
    *,
    force: bool,
    discoverable: bool,
) -> SignResult:
    """Keep the receipt of a file that was logged and is in its place."""
    receipt_cid = keep_receipt(receipt, session, receipt_path, force=force)
    result = _result(
        ready.source, ready.output, ready.sidecar, receipt_path, ready.opening, receipt, receipt_cid
    )
    result = replace(result, warnings=ready.warnings)
    return _listed(result, session) if discoverable else result


def _read_back(
    source: Path, signed: Path, media: Format, session: Session, manifest: bytes, *, beside: bool
) -> None:
    """TamperedError unless the signed copy verifies."""
    anchors = [certificates.to_pem([session.identity.root])]
    if not beside and media.name in RIFF_FORMATS and signed.stat().st_size >= LARGE:
        faults = faults_of_written(signed, media.mime, manifest, anchors)
    else:
        report = read_manifest(
            signed, media.mime, anchors_pem=anchors, manifest_data=manifest if beside else None
        )
        sound = report is not None and report.state is not ManifestState.INVALID
        faults = [] if sound else [one.code for one in report.failures] if report else ["no manifest"]
    if faults:
        raise TamperedError(
            f"the signed copy of {source} does not verify when read back: {'; '.join(faults)}"
        )


def record_file(
    source: Path,
    session: Session,
    *,
    any_file: bool = False,
    receipt_path: Path | None = None,
    force: bool = False,
    discoverable: bool = False,
) -> SignResult:
    """Fingerprint and log ``source`` without touching it: no manifest, a receipt only.

    Args:
        discoverable: let others find the record on a service (:mod:`provenance.resolve.listing`).
    """
    file = MediaFile.open(source, any_file=any_file)
    if receipt_path:
        refuse_existing(receipt_path, force)
    fingerprint = fingerprint_file(file)
    result = _log_untouched(source, file.sha256, file.format.mime, fingerprint, session, receipt_path, force)
    return _listed(result, session) if discoverable else result


def record_hash(
    sha256: str,
    media_type: str,
    session: Session,
    *,
    receipt_path: Path | None = None,
    force: bool = False,
    discoverable: bool = False,
) -> SignResult:
    """Log a SHA-256 of something that is not a file here.

    Raises:
        UsageError: ``sha256`` is not 64 hex digits.
    """
    digest = sha256.lower()
    if len(digest) != 64 or any(c not in "0123456789abcdef" for c in digest):
        raise UsageError(f"{sha256[:80]!r} is not a SHA-256 in hex", hint="give 64 hexadecimal digits")
    if receipt_path:
        refuse_existing(receipt_path, force)
    shown = Path(f"sha256:{digest}")
    result = _log_untouched(shown, digest, media_type, NoFingerprint(), session, receipt_path, force)
    return _listed(result, session) if discoverable else result


def _log_untouched(
    shown: Path,
    digest: str,
    media_type: str,
    fingerprint: Fingerprint,
    session: Session,
    receipt_path: Path | None,
    force: bool,
) -> SignResult:
    opening = untouched(digest, media_type, fingerprint.to_record(), session)
    receipt = session.ledger.append([opening], [fingerprint.to_blob()])[0]
    return finish_recorded(shown, opening, receipt, session, receipt_path, force=force)


def untouched(sha256: str, media_type: str, fingerprints: dict[str, Any], session: Session) -> Opening:
    """The signed record of a file that was read and not touched."""
    return sign_record(
        Record(
            relation=Relation.RECORDED,
            source_sha256=sha256,
            file_sha256=sha256,
            manifest_sha256=None,
            manifest_cid=None,
            media_type=media_type,
            fingerprints=fingerprints,
            parents=[],
            signer={"key_id": session.identity.key_id, "name": session.identity.claimed_name},
            time=now_utc(),
        ),
        session.identity,
    )


def finish_recorded(
    shown: Path,
    opening: Opening,
    receipt: Receipt,
    session: Session,
    receipt_path: Path | None,
    *,
    force: bool,
    discoverable: bool = False,
) -> SignResult:
    """Keep the receipt of a file that was logged untouched."""
    receipt_cid = keep_receipt(receipt, session, receipt_path, force=force)
    result = _result(shown, shown, None, receipt_path, opening, receipt, receipt_cid)
    return _listed(result, session) if discoverable else result


def _listed(result: SignResult, session: Session) -> SignResult:
    from provenance.resolve.listing import WARNING, make_discoverable

    make_discoverable(session.ledger, session.store, result.index)
    return replace(result, discoverable=True, warnings=[*result.warnings, WARNING])


def check_source(source: Path, *, any_file: bool = False) -> Format:
    """The format of an existing, readable, not over-sized file.

    Raises:
        MissingPathError, MediaTooLargeError, UnknownFormatError, CorruptMediaError.
    """
    return MediaFile.open(source, any_file=any_file).format


def keep_receipt(receipt: Receipt, session: Session, path: Path | None, *, force: bool) -> str:
    """Put the receipt into the store and, where asked, beside the output; returns its content id."""
    data = receipt.to_bytes()
    cid = session.store.put(data)
    if path:
        write_bytes(path, data, force=force)
    return cid


def _result(
    source: Path,
    output: Path,
    sidecar: Path | None,
    receipt_path: Path | None,
    opening: Opening,
    receipt: Receipt,
    receipt_cid: str,
) -> SignResult:
    return SignResult(
        source=source,
        output=output,
        sidecar=sidecar,
        receipt_path=receipt_path,
        record=opening.signed.record,
        index=receipt.index,
        log_size=receipt.checkpoint.size,
        log_origin=receipt.checkpoint.origin,
        receipt_cid=receipt_cid,
    )
