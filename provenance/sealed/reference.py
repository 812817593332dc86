"""What a cloaked file's manifest says about its sealed original: the assertion ``org.veilmark.sealed``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.errors import CheckError, NoCredentialError, StoreError, TamperedError
from provenance.manifest.read import MAX_MANIFEST_BYTES, ManifestReport, read_manifest
from provenance.manifest.report import ManifestState
from provenance.media.files import read_companion
from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
from provenance.sealed.envelope import ALGORITHM, sealed_size
from provenance.sign import check_source
from provenance.store.cid import Cid
from provenance.store.unixfs import MAX_FILE_BYTES
from provenance.trust.store import TrustStore
from provenance.verify import verify_file

LABEL = "org.veilmark.sealed"


@dataclass(frozen=True)
class SealedReference:
    """Names a sealed object: its CID, the size of its padded plaintext in bytes, and how it is encrypted."""

    cid: str
    padded_size: int
    algorithm: str = ALGORITHM

    def to_json(self) -> dict[str, Any]:
        """The assertion's data."""
        return {"cid": self.cid, "padded_size": self.padded_size, "algorithm": self.algorithm}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SealedReference:
        """Read the assertion's data; CheckError where it is not as it should be."""
        cid, size, algorithm = data.get("cid"), data.get("padded_size"), data.get("algorithm")
        if algorithm != ALGORITHM:
            raise CheckError(
                f"the original is sealed with {str(algorithm)[:60]!r}; {ALGORITHM} is known here",
                hint="a newer veilmark may know it",
            )
        good_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
        if not isinstance(cid, str) or not good_size or sealed_size(int(str(size))) > MAX_FILE_BYTES:
            raise CheckError("what the manifest says of the sealed original cannot be read")
        try:
            return cls(str(Cid.parse(cid)), int(str(size)))
        except StoreError as error:
            raise CheckError(
                f"what the manifest says of the sealed original cannot be read: {error}"
            ) from error


@dataclass(frozen=True)
class Cloaked:
    """A cloaked file that verifies: what it says of its original.

    Attributes:
        original_sha256: hex, of the signed original; the ingredient's.
        cloaked_by: key id of who signed the cloaked file.
        warning: what the owner should know though the file verifies: its signing key was revoked; or empty.
    """

    reference: SealedReference
    original_sha256: str
    cloaked_by: str
    warning: str = ""


def read_cloaked(path: Path, trust: TrustStore) -> Cloaked:
    """Check a cloaked file and read what it says about its sealed original.

    Raises:
        MissingPathError, MediaError: the file cannot be read.
        NoCredentialError: no manifest, or one that names no sealed original.
        TamperedError: the file or its manifest was altered.
        CheckError: the manifest names a sealed original in a form that is not known.
    """
    report = manifest_of(path, trust)
    if report is None:
        raise NoCredentialError(
            f"{path} carries no manifest, so nothing says where its original is",
            hint="use the cloaked file as it was written; `veilmark find` looks for its record",
        )
    verdict = verify_file(path, trust)
    # who lost a key, and revoked it, must still get at the originals
    altered = [check.detail for check in verdict.failed if check.name != "revocation"]
    if altered or report.state is ManifestState.INVALID:
        raise TamperedError(
            f"{path} was altered after it was cloaked: {altered[0] if altered else verdict.headline}",
            hint="use the cloaked file as it was written",
        )
    revoked = next((check.detail for check in verdict.failed), "")
    if not report.sealed:
        raise NoCredentialError(
            f"{path} names no sealed original", hint="only `veilmark cloak --reversible` keeps one"
        )
    reference = SealedReference.from_json(report.sealed)
    parents = [one for one in report.ingredients if one["relationship"] == "parentOf" and one["sha256"]]
    if len(parents) != 1:
        raise CheckError(f"{path} does not name the SHA-256 of one original")
    return Cloaked(reference, parents[0]["sha256"], report.key_id, revoked)


def manifest_of(path: Path, trust: TrustStore) -> ManifestReport | None:
    """The manifest in a file, or the one in ``FILE.c2pa`` beside it; None where there is neither."""
    media = check_source(path)
    found = read_manifest(path, media.mime, anchors_pem=trust.anchors)
    beside = with_suffix_added(path, SIDECAR_SUFFIX)
    if found is not None or not beside.is_file():
        return found
    data = read_companion(beside, MAX_MANIFEST_BYTES)
    return read_manifest(path, media.mime, anchors_pem=trust.anchors, manifest_data=data)
