"""Read and check a file's C2PA manifest, through c2pa-python, into one report.

Nothing is fetched from the network unless asked. Trust comes from the anchors that the caller passes, never
from the file. The report keeps the failures of the file's own (active) manifest apart from those of the
ingredients it was made from.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm

from provenance.errors import CheckError, CorruptMediaError, MissingPathError, ReceiptError
from provenance.identity import certificates
from provenance.interrupt import uninterrupted
from provenance.manifest import jumbf
from provenance.manifest.report import (
    Failure,
    FailureKind,
    ManifestReport,
    ManifestState,
    report_from_json,
)
from provenance.media.completeness import is_initialization
from provenance.record import key_id_of
from provenance.trust.anchors import Anchors, Purpose
from provenance.verdict import TimeKind

__all__ = ["Failure", "ManifestReport", "read_manifest"]

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
#: What c2pa keeps of a file in memory before it uses a temporary file.
MEMORY_MB = 64
_BLOCK_BYTES = 1024 * 1024
_OVERLAP_BYTES = 32
_DRAFT = "the manifest is of a draft of the format, from before C2PA 1.0"
_LATER = "the manifest is of a version that cannot be read"
_REMAINS = "the file holds the remains of a manifest that is not where it should be"
#: c2pa's words for a form that it does not read.
_OTHER_VERSION = re.compile(r"version (is )?too new|pre-?release|VersionCompatibility", re.IGNORECASE)
_SIDECAR_FORMAT = "application/c2pa"


@uninterrupted()
def read_manifest(
    path: Path,
    mime: str,
    *,
    anchors_pem: Anchors | Sequence[str],
    manifest_data: bytes | None = None,
    online: bool = False,
    fragment: Path | None = None,
) -> ManifestReport | None:
    """Check the manifest of a file.

    Args:
        mime: media type of ``path``, decided from its bytes.
        anchors_pem: certificates that the verifier trusts: by purpose, or as PEM texts those of signers alone.
        manifest_data: a side-car's bytes, instead of what is embedded.
        online: allow fetching a remote manifest and asking OCSP responders.
        fragment: a fragment of the stream whose initialization segment ``path`` is; see
            :func:`provenance.manifest.fragments.read_fragments` for several.

    Returns:
        None where the file has no manifest.

    Raises:
        MissingPathError: no such file.
        CheckError: the manifest lies at a URL and ``online`` is false, or the side-car is over the limit.
        CorruptMediaError: the container cannot be parsed at all.
    """
    import c2pa

    if manifest_data is not None and len(manifest_data) > MAX_MANIFEST_BYTES:
        raise CheckError(f"side-car of {len(manifest_data)} bytes is over the limit of {MAX_MANIFEST_BYTES}")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    with stream, c2pa.Context.from_dict(reader_settings(anchors_pem, online=online)) as context:
        try:
            reader = c2pa.Reader.try_create(mime, stream, manifest_data, context=context)
        except c2pa.C2paError.NotSupported as error:
            if manifest_data is not None:
                raise CheckError(f"cannot check {mime} against a side-car: {_text(error)}") from error
            return None
        except c2pa.C2paError as error:
            if str(error).startswith("Remote"):
                raise CheckError(
                    f"the manifest of {path} is not inside but at a URL: {_text(error)}",
                    hint="check the network" if online else "add --online to fetch it",
                ) from error
            return _unreadable(path, stream, error, manifest_data)
        if reader is None:
            return _leftover(stream) if manifest_data is None else None
        with reader:
            if fragment is not None:
                try:
                    with path.open("rb") as start, fragment.open("rb") as part:
                        reader.with_fragment(mime, start, part)
                        report = _report(reader, manifest_data)
                except (c2pa.C2paError, OSError) as error:
                    raise CheckError(f"{fragment} cannot be read as a fragment: {_text(error)}") from error
            else:
                report = _report(reader, manifest_data)
    if fragment is None and _lacks_fragments(path, report):
        return _unsupported(
            "it is of a stream's initialization segment, which needs its fragments (--fragments)"
        )
    anchors = Anchors.of(anchors_pem)
    for purpose in report.found_elsewhere:
        alone = anchors.only(purpose)
        if alone in (anchors, Anchors()):
            continue  # there is nothing else to find it in
        again = read_manifest(
            path, mime, anchors_pem=alone, manifest_data=manifest_data, online=online, fragment=fragment
        )
        if again is not None:
            _settle(report, again, purpose)
    return report


def _lacks_fragments(path: Path, report: ManifestReport) -> bool:
    """Whether nothing is wrong but that the content lies elsewhere."""
    elsewhere = bool(report.failures) and all(one.kind is FailureKind.CONTENT for one in report.failures)
    return elsewhere and is_initialization(path)


def reader_settings(anchors: Anchors | Sequence[str], *, online: bool) -> dict[str, Any]:
    """c2pa settings for reading: verify everything, trust ``anchors`` alone, no network unless asked."""
    settings: dict[str, Any] = {
        "version": 1,
        "core": {"backing_store_memory_threshold_in_mb": MEMORY_MB},
        "verify": {
            "verify_after_reading": True,
            "verify_trust": True,
            "verify_timestamp_trust": True,
            "check_ingredient_trust": True,
            "remote_manifest_fetch": online,
            "ocsp_fetch": online,
        },
    }
    trust = Anchors.of(anchors).settings()
    if trust:
        settings["trust"] = trust
    return settings


@uninterrupted()
def side_car_results(
    path: Path, mime: str, manifest_data: bytes, *, anchors_pem: Sequence[str]
) -> dict[str, Any]:
    """c2pa's own JSON for a file and its side-car, as an ingredient assertion records it.

    Raises:
        CheckError: the side-car cannot be read.
    """
    import c2pa

    try:
        with (
            path.open("rb") as stream,
            c2pa.Context.from_dict(reader_settings(anchors_pem, online=False)) as context,
            c2pa.Reader(mime, stream, manifest_data, context=context) as reader,
        ):
            parsed: dict[str, Any] = json.loads(reader.json())
            return parsed
    except (c2pa.C2paError, OSError) as error:
        raise CheckError(f"the side-car of {path} cannot be read: {_text(error)}") from error


def _report(reader: Any, manifest_data: bytes | None) -> ManifestReport:
    parsed = json.loads(reader.json())
    label = str(parsed.get("active_manifest", ""))
    store = manifest_data if manifest_data is not None else _store_bytes(reader, label)
    report = report_from_json(parsed, crjson=reader.crjson, store=store)
    report.embedded = bool(reader.is_embedded()) and manifest_data is None
    report.remote_url = certificates.printable(reader.get_remote_url() or "", 2000)
    try:
        report.chain_der = jumbf.signature_certificates(store, label)
        report.key_id = key_id_of(report.chain_der[0])
    except (ValueError, ReceiptError, UnsupportedAlgorithm) as error:
        report.chain_der = []
        report.add_failure("veilmark.certificates.unreadable", f"certificates cannot be read: {error}")
    return report


def _settle(report: ManifestReport, again: ManifestReport, purpose: Purpose) -> None:
    """Take over what a second reading found, with the anchors of one purpose alone."""
    if purpose is Purpose.SIGNERS:
        report.signer_trusted = again.signer_trusted
        if report.state is ManifestState.VALID and again.signer_trusted:
            report.state = ManifestState.TRUSTED
        return
    report.time_kind = again.time_kind
    if again.time_kind is TimeKind.STAMPED or not report.chain_der or report.expired:
        return
    # c2pa took the stamp for proof of an earlier time, by an authority that is trusted for something else
    ends = certificates.read_der(report.chain_der[0]).not_valid_after_utc
    if ends < datetime.now(UTC):
        report.add_failure("signingCredential.expired", "certificate expired")


def _store_bytes(reader: Any, label: str) -> bytes:
    """The manifest store as c2pa read it; any resource address inside a manifest leads to its store."""
    import c2pa

    buffer = Limited(MAX_MANIFEST_BYTES)
    try:
        reader.resource_to_stream(f"self#jumbf=/c2pa/{label}/c2pa.signature", buffer)
    except c2pa.C2paError:
        return b""
    return buffer.getvalue()


def _unreadable(
    path: Path, stream: BinaryIO, error: Exception, manifest_data: bytes | None
) -> ManifestReport:
    """c2pa gave up: a damaged manifest is a finding, a damaged container an error, and what is of another version of
    the format was not checked."""
    if _OTHER_VERSION.search(str(error)):
        return _unsupported(f"{_LATER}: {_text(error)}")
    found = _marks_in(io.BytesIO(manifest_data) if manifest_data is not None else stream)
    if found is jumbf.DRAFT_MARKS:
        return _unsupported(_DRAFT)
    if manifest_data is None and not found:
        raise CorruptMediaError(f"{path} cannot be read: {_text(error)}") from error
    return _damaged(f"the manifest cannot be read: {_text(error)}")


def _leftover(stream: BinaryIO) -> ManifestReport | None:
    """No manifest where one should lie; but are there the remains of one?"""
    found = _marks_in(stream)
    if found is jumbf.DRAFT_MARKS:
        return _unsupported(_DRAFT)
    return _damaged(_REMAINS) if found else None


def unread_form(stream: BinaryIO, error: Exception | None) -> str:
    """Why there is a manifest that cannot be read; empty where there is none.

    Args:
        error: what c2pa gave up with, or None where it found no manifest.
    """
    if error is not None and _OTHER_VERSION.search(str(error)):
        return f"{_LATER}: {_text(error)}"
    found = _marks_in(stream)
    return _DRAFT if found is jumbf.DRAFT_MARKS else _REMAINS if found else ""


def _damaged(explanation: str) -> ManifestReport:
    report = ManifestReport(state=ManifestState.INVALID)
    report.add_failure("veilmark.manifest.damaged", explanation)
    return report


def _unsupported(explanation: str) -> ManifestReport:
    report = ManifestReport(state=ManifestState.UNSUPPORTED)
    report.unsupported = explanation
    return report


def _marks_in(stream: BinaryIO) -> tuple[bytes, ...]:
    """Whether the bytes of a manifest store, or of parts of one, are somewhere in a file: the marks of the drafts, else
    the others, else none. Fast, proves nothing."""
    stream.seek(0)
    tail = b""
    found: tuple[bytes, ...] = ()
    while block := stream.read(_BLOCK_BYTES):
        window = tail + block
        if jumbf.MARK_START in window:  # one fast pass for what all marks share
            if any(mark in window for mark in jumbf.DRAFT_MARKS):
                return jumbf.DRAFT_MARKS
            if any(mark in window for mark in jumbf.STORE_MARKS):
                found = jumbf.STORE_MARKS
        tail = window[-_OVERLAP_BYTES:]
    return found


def _text(error: BaseException) -> str:
    return certificates.printable(str(error), 300)


class Limited(io.BytesIO):
    """A buffer that refuses to grow over a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._limit:
            raise OSError(f"resource is over the limit of {self._limit} bytes")
        return super().write(data)
