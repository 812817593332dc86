"""Who claims a file, and what they allow: from its manifest, from those of what it was made from, and from the ledger.

A file is looked up in the ledger by its hashes and by its looks as well, so that stripping the manifest, encoding the
file anew, or signing it again with another key does not make its owner's word go away.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provenance.errors import ReceiptError, StoreError, TamperedError
from provenance.home import Home
from provenance.identity import certificates
from provenance.manifest import jumbf
from provenance.manifest.read import MAX_MANIFEST_BYTES, ManifestReport, read_manifest
from provenance.media.files import read_companion
from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.media.picture import Format
from provenance.record import key_id_of
from provenance.search.lookup import Lookup, similar_records
from provenance.store.local import LocalStore
from provenance.trust.store import TrustStore
from provenance.verdict import SimilarRecord
from provenance.verify import MAX_SIDECAR_BYTES
from synth.label import COMPOSITE, GENERATED

#: Uses (CAWG training and data mining assertion 1.1, section 3) that making a training set is one of.
TRAINING_USES = ("data_mining", "ai_training", "ai_generative_training")
_LABELS = ("cawg.training-mining", "c2pa.training-mining")
_MOST = 200


@dataclass(frozen=True)
class Claim:
    """What somebody signed about a file.

    Attributes:
        where: ``manifest``, ``ingredient`` or ``ledger``.
        detail: the same for a person to read.
        key_id: hex SHA-256 of the signer's public key.
        name: the signer's claimed name.
        policy: ``forbidden``, ``allowed`` or ``unstated``.
        chain_der: the signer's certificates, leaf first.
        files: SHA-256 of the files that the claim is about.
        manifest_sha256: of the manifest store it stands in, or empty; only where its content is intact.
        index: the ledger entry, or None.
        intact: the manifest's signature and hashes match.
        relation: of the ledger record; of a manifest ``synthetic`` where it says that a generator made the file, else
            empty. Who *recorded* a file, or generated one from it, does not say that the footage is theirs.
    """

    where: str
    detail: str
    key_id: str
    name: str
    policy: str
    chain_der: tuple[bytes, ...] = field(repr=False)
    files: frozenset[str]
    manifest_sha256: str = ""
    index: int | None = None
    intact: bool = True
    relation: str = ""


@dataclass(frozen=True)
class Claims:
    """All claims about one file, and its SHA-256."""

    path: Path
    sha256: str
    found: tuple[Claim, ...]

    @property
    def forbidding(self) -> list[Claim]:
        return [claim for claim in self.found if claim.policy == "forbidden"]


def claims_about(
    path: Path, home: Home, trust: TrustStore, lookup: Lookup | None, *, online: bool = False
) -> Claims:
    """Everything that is claimed about a file.

    Args:
        lookup: the own ledger; None where there is none.
        online: allow fetching a manifest that lies at a URL.

    Raises:
        MissingPathError, MediaError: the file cannot be read.
        CheckError: the manifest lies at a URL and ``online`` is false.
        LedgerError: the ledger cannot be asked.
    """
    file = MediaFile.open(path)
    digest = file.sha256
    report = _manifest(path, file.format, trust, online)
    found = list(_of_manifest(report, digest)) if report is not None else []
    if lookup is not None:
        records = similar_records(file, lookup, trust, report)
        found += [claim for one in records if (claim := _of_record(one, home, lookup)) is not None]
    return Claims(path, digest, tuple(found))


def policy_of(training: dict[str, str]) -> str:
    """``forbidden`` where any training use is not allowed or only under conditions; ``allowed`` where all that are
    named are allowed; ``unstated`` where none is named.
    """
    stated = [training[use] for use in TRAINING_USES if use in training]
    if not stated:
        return "unstated"
    return "allowed" if all(one == "allowed" for one in stated) else "forbidden"


def _manifest(path: Path, media: Format, trust: TrustStore, online: bool) -> ManifestReport | None:
    report = read_manifest(path, media.mime, anchors_pem=trust.anchors, online=online)
    beside = with_suffix_added(path, SIDECAR_SUFFIX)
    if report is None and beside.is_file():
        data = read_companion(beside, MAX_SIDECAR_BYTES)
        report = read_manifest(path, media.mime, anchors_pem=trust.anchors, manifest_data=data)
    return report


def _of_manifest(report: ManifestReport, digest: str) -> Iterator[Claim]:
    intact = report.state != "invalid"
    yield Claim(
        where="manifest",
        detail="its manifest" if intact else "its manifest (which was altered or does not fit the file)",
        key_id=report.key_id,
        name=report.signer_name,
        policy=policy_of(report.training),
        chain_der=tuple(report.chain_der),
        files=frozenset({digest}),
        manifest_sha256=report.manifest_sha256 if intact else "",
        intact=intact,
        relation="synthetic" if _is_generated(report) else "",
    )
    for label, name, training, chain in _policies(report.manifest_bytes):
        if label == report.active_label:
            continue
        yield Claim(
            where="ingredient",
            detail="the manifest of what it was made from",
            key_id=_key_id(chain),
            name=name,
            policy=policy_of(training),
            chain_der=tuple(chain),
            files=frozenset({digest}),
            manifest_sha256=report.manifest_sha256 if intact else "",
            intact=intact,
        )


def _is_generated(report: ManifestReport) -> bool:
    kinds = {report.digital_source_type, *(one.get("digital_source_type") for one in report.actions)}
    return bool(kinds & {GENERATED, COMPOSITE})


def _of_record(found: SimilarRecord, home: Home, lookup: Lookup) -> Claim | None:
    """The claim of a ledger record; None for one that its key did not sign."""
    signed = lookup.ledger.entry(found.index).opening.signed
    try:
        signed.verify()
    except (TamperedError, ReceiptError):
        return None
    record = signed.record
    likeness = ", found by its looks" if found.confirmed else ", which it may show or be a part of"
    likeness = "" if found.exact else likeness
    policy = "unstated" if record.manifest_sha256 is None else _stored_policy(home, record)
    return Claim(
        where="ledger",
        detail=f"ledger entry {found.index}{likeness}",
        key_id=signed.key_id,
        name=certificates.printable(record.signer.get("name", ""), 200),
        policy=policy,
        chain_der=tuple(signed.chain_der),
        files=frozenset({record.file_sha256, record.source_sha256}),
        manifest_sha256=record.manifest_sha256 or "",
        index=found.index,
        relation=record.relation,
    )


def _stored_policy(home: Home, record: Any) -> str:
    """What the manifest that a record names says. One that is not at hand forbids: veilmark's do, unless told."""
    try:
        data = LocalStore(home.store).get(record.manifest_cid) if record.manifest_cid else b""
    except StoreError:
        data = b""
    if hashlib.sha256(data).hexdigest() != record.manifest_sha256:
        return "forbidden"
    stated = [policy_of(training) for _, _, training, _ in _policies(data)]
    for policy in ("forbidden", "allowed"):
        if policy in stated:
            return policy
    return "unstated"


def _policies(store: bytes) -> list[tuple[str, str, dict[str, str], list[bytes]]]:
    """Label, signer's name, training policy and certificates of every manifest in a store.

    What cannot be read is left out: the file's own manifest was judged by then.
    """
    import c2pa

    if not 0 < len(store) <= MAX_MANIFEST_BYTES:
        return []
    settings = {"version": 1, "verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader("application/c2pa", io.BytesIO(store), context=context) as reader,
        ):
            manifests = json.loads(reader.json())["manifests"]
    except (c2pa.C2paError, ValueError, KeyError):
        return []
    result = []
    for label, manifest in list(manifests.items())[:_MOST]:
        training: dict[str, str] = {}
        for assertion in manifest.get("assertions") or []:
            if str(assertion.get("label", "")).split("__")[0] in _LABELS:
                entries = (assertion.get("data") or {}).get("entries") or {}
                training |= {str(use).split(".")[-1]: str(entry.get("use")) for use, entry in entries.items()}
        try:
            chain = jumbf.signature_certificates(store, label)
        except ValueError:
            chain = []
        name = str((manifest.get("signature_info") or {}).get("common_name") or "")
        result.append((label, certificates.printable(name, 200), training, chain))
    return result


def _key_id(chain: list[bytes]) -> str:
    try:
        return key_id_of(chain[0]) if chain else ""
    except ReceiptError:
        return ""
