"""What a file that is to be signed was made from: what of it must be kept, and what must not be contradicted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import CheckError, ContradictionError, CorruptMediaError
from provenance.identity import certificates
from provenance.manifest.actions import is_synthetic
from provenance.manifest.embed import with_named_files
from provenance.manifest.judge import in_words
from provenance.manifest.presence import Place, Presence, find_manifest, refuse_unread
from provenance.manifest.read import MAX_MANIFEST_BYTES, read_manifest
from provenance.manifest.spec import ManifestSpec, Parent, says_synthetic
from provenance.media.files import is_file, read_companion, sha256_file
from provenance.media.formats import SIDECAR_SUFFIX, Format, detect_format
from provenance.record import Relation

if TYPE_CHECKING:
    from provenance.fingerprint.picture import Fingerprint
    from provenance.manifest.report import ManifestReport
    from provenance.media.media_file import MediaFile
    from provenance.session import Session

#: What a file is called synthetic by where only the own ledger says so of what it was made from.
_BY_LEDGER = "trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Lineage:
    """What is known of a file's parents.

    Attributes:
        spec: with all parents, their synthetic source types, and the relation that follows from them.
        parent_hashes: hex SHA-256 of each parent.
        warnings: what the signer should know of them, one sentence each.
    """

    spec: ManifestSpec
    parent_hashes: list[str]
    warnings: list[str] = field(default_factory=list)


def trace(file: MediaFile, spec: ManifestSpec, session: Session, *, online: bool = False) -> Lineage:
    """Find out what a file was made from, before it is signed.

    A file that has a credential already, inside, in a side-car or at an address, is signed as the edit of itself,
    unless the spec names another parent. The edit of something synthetic is synthetic, and so is what holds a part
    of it.

    Args:
        online: allow fetching manifests from the addresses that files name.

    Raises:
        CheckError: the file has a credential that was not read, and no parent is named.
    """
    warnings: list[str] = []
    spec = with_named_files(spec)
    relation, parents = spec.relation, list(spec.parents)
    if not any(parent.relationship == "parentOf" for parent in parents):
        own = _own_parent(file, online=online)
        if own is not None:
            parents.insert(0, own)
            relation = Relation.EDITED if relation is Relation.CAPTURED else relation
    hashes = []
    for place, parent in enumerate(parents):
        digest = file.sha256 if parent.path == file.path else sha256_file(parent.path)
        hashes.append(digest)
        media = detect_format(parent.path, any_file=True)
        found = find_manifest(parent.path, media)
        parent = _with_credential(parent, media, found, warnings, online=online)
        report = None
        if parent.manifest_data is not None or found.place is Place.INSIDE:
            report = _report(parent, media, session)
        warnings += _faults(parent, report)
        kind = "" if parent.relationship == "inputTo" else _synthetic_type(report, digest, session)
        parents[place] = replace(parent, source_type=kind)
    labelled = says_synthetic(spec) or any(parent.source_type for parent in parents)
    if labelled and relation in (Relation.CAPTURED, Relation.EDITED):
        relation = Relation.SYNTHETIC
    return Lineage(replace(spec, relation=relation, parents=tuple(parents)), hashes, warnings)


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


def _own_parent(file: MediaFile, *, online: bool) -> Parent | None:
    """The file itself, where it has a credential already."""
    found = find_manifest(file.path, file.format)
    if found.place is Place.INSIDE:
        return Parent(file.path)
    data = _elsewhere(file.path, file.format, found, online=online)
    if data is None:
        refuse_unread(file.path, found)
        return None
    return Parent(file.path, manifest_data=data)


def _with_credential(
    parent: Parent, media: Format, found: Presence, warnings: list[str], *, online: bool
) -> Parent:
    """A named parent with its side-car; what cannot be read of it is said."""
    if parent.manifest_data is not None or found.place is Place.INSIDE:
        return parent
    data = _elsewhere(parent.path, media, found, online=online)
    if data is None and found.place is not Place.NOWHERE:
        warnings.append(f"the credential of {parent.path} was not read and is not kept: {found.detail}")
        return replace(parent, embed=False)
    return replace(parent, manifest_data=data)


def _elsewhere(path: Path, media: Format, found: Presence, *, online: bool) -> bytes | None:
    """The manifest store beside a file, or at the address it names; None where there is none to be had."""
    beside = path.with_name(path.name + SIDECAR_SUFFIX)
    if is_file(beside):
        return read_companion(beside, MAX_MANIFEST_BYTES)
    if found.place is not Place.REMOTE or not online:
        return None
    report = read_manifest(path, media.mime, anchors_pem=(), online=True)
    if report is None or not report.manifest_bytes:
        raise CheckError(f"what was fetched for {path} is no manifest that can be read: {found.detail}")
    return report.manifest_bytes


def _report(parent: Parent, media: Format, session: Session) -> ManifestReport | None:
    anchors = [certificates.to_pem([session.identity.root])]
    try:
        return read_manifest(parent.path, media.mime, anchors_pem=anchors, manifest_data=parent.manifest_data)
    except (CheckError, CorruptMediaError):
        return None  # signing will say so


def _faults(parent: Parent, report: ManifestReport | None) -> list[str]:
    """What does not verify in a parent's credential, or in what that was made from."""
    if report is None:
        return []
    found = {one.ingredient: in_words(one) for one in [*report.ingredient_failures, *report.failures]}
    return [f"the credential of {parent.path} does not verify: {said}" for said in found.values()]


def _synthetic_type(report: ManifestReport | None, digest: str, session: Session) -> str:
    if report is not None and is_synthetic(report.digital_source_type):
        return report.digital_source_type
    for entry in session.ledger.find_sha256(digest):
        record = entry.record
        if record.relation is Relation.SYNTHETIC and digest in (record.file_sha256, record.source_sha256):
            return _BY_LEDGER
    return ""
