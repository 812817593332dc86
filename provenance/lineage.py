"""What a file that is to be signed was made from: what of it must be kept, and what must not be contradicted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import CheckError, ContradictionError, CorruptMediaError
from provenance.identity import certificates
from provenance.manifest.actions import is_synthetic
from provenance.manifest.read import read_manifest
from provenance.manifest.spec import ManifestSpec, Parent, says_synthetic
from provenance.media.formats import detect_format
from provenance.media.picture import sha256_file
from provenance.record import Relation

if TYPE_CHECKING:
    from provenance.fingerprint.picture import Fingerprint
    from provenance.manifest.report import ManifestReport
    from provenance.session import Session

#: What a file is called synthetic by where only the own ledger says so of what it was made from.
_BY_LEDGER = "trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Lineage:
    """What is known of a file's parents.

    Attributes:
        spec: with the parents' synthetic source types, and the relation that follows from them.
        parent_hashes: hex SHA-256 of each parent.
    """

    spec: ManifestSpec
    parent_hashes: list[str]


def trace(spec: ManifestSpec, session: Session) -> Lineage:
    """Look at a file's parents: the edit of something synthetic is synthetic, and so is what holds a part of it."""
    hashes = [sha256_file(parent.path) for parent in spec.parents]
    parents = []
    for parent, digest in zip(spec.parents, hashes, strict=True):
        kind = ""
        if parent.relationship in ("parentOf", "componentOf"):
            kind = _synthetic_type(_report(parent, session), digest, session)
        parents.append(replace(parent, source_type=kind))
    relation = spec.relation
    labelled = says_synthetic(spec) or any(parent.source_type for parent in parents)
    if labelled and relation in (Relation.CAPTURED, Relation.EDITED):
        relation = Relation.SYNTHETIC
    return Lineage(replace(spec, relation=relation, parents=tuple(parents)), hashes)


def refuse_contradicted(
    source: Path, sha256: str, fingerprint: Fingerprint, spec: ManifestSpec, session: Session
) -> None:
    """Nothing that the own ledger calls synthetic becomes a capture because its label was lost.

    Raises:
        ContradictionError: it would, and the signer named no source type.
    """
    if spec.relation is not Relation.CAPTURED or spec.digital_source_type:
        return
    entry = session.synthetic.contradicting(sha256, fingerprint)
    if entry is None:
        return
    same = sha256 in (entry.record.file_sha256, entry.record.source_sha256)
    raise ContradictionError(
        f"{source} would be signed as captured, but your own ledger calls"
        f" {'this very file' if same else 'a file that looks like it'} synthetic (entry {entry.index})",
        hint="name what it was made from with --parent, or say what it is with --source-type",
    )


def _report(parent: Parent, session: Session) -> ManifestReport | None:
    media = detect_format(parent.path, any_file=True)
    if not media.embeddable and parent.manifest_data is None:
        return None
    anchors = [certificates.to_pem([session.identity.root])]
    try:
        return read_manifest(parent.path, media.mime, anchors_pem=anchors, manifest_data=parent.manifest_data)
    except (CheckError, CorruptMediaError):
        return None  # signing will say so


def _synthetic_type(report: ManifestReport | None, digest: str, session: Session) -> str:
    if report is not None and is_synthetic(report.digital_source_type):
        return report.digital_source_type
    for entry in session.ledger.find_sha256(digest):
        record = entry.record
        if record.relation is Relation.SYNTHETIC and digest in (record.file_sha256, record.source_sha256):
            return _BY_LEDGER
    return ""
