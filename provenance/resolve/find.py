"""``veilmark find --service``: ask a service about a file, and check what it says.

There are three ways to ask. They show the service less and less: the file itself, its fingerprint, or a few bits of the
fingerprint that many records share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from provenance.errors import CheckError, ExitCode, MediaError, UsageError, VeilmarkError
from provenance.fingerprint.picture import fingerprint_file
from provenance.identity.certificates import printable
from provenance.manifest.read import read_manifest
from provenance.manifest.report import FailureKind, ManifestReport, ManifestState
from provenance.media.media_file import MediaFile
from provenance.resolve import bands
from provenance.resolve.bindings import PDQ
from provenance.resolve.check import Asked, CheckAnchor, Proof, Resolved, check_match
from provenance.resolve.client import Answered, Service
from provenance.trust.store import TrustStore

SCHEMA = "veilmark.resolved/1"
#: Manifests of matches without a receipt are fetched and checked, so many of them.
MAX_MANIFESTS = 10


class How(StrEnum):
    """What the service is shown."""

    CONTENT = "content"  #: the file itself
    FINGERPRINT = "fingerprint"  #: its 256-bit fingerprint
    PRIVATE = "private"  #: some bits of it, which at least ``hide_among`` public records share


@dataclass(frozen=True)
class Resolution:
    """What a service said of a file, checked.

    Attributes:
        path: the file, as it was named.
        service: the address that was asked.
        how: what the service was shown.
        bits: how many bits of the fingerprint it was shown.
        hidden_among: for :attr:`How.PRIVATE`, how many records it answered with.
        records: what it named, in log order; those whose proof fails are among them, and say so.
        refused: what it said that cannot be read, one sentence each.
    """

    path: str
    service: str
    how: How
    bits: int
    hidden_among: int
    records: tuple[Resolved, ...]
    refused: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """0 a record in a trusted log, or by a trusted signer; 5 only others; 4 none; 1 a proof fails."""
        if any(one.proof is Proof.FAILS for one in self.records):
            return ExitCode.TAMPERED
        if not self.records:
            return ExitCode.UNREADABLE if self.refused else ExitCode.NOT_FOUND
        known = any(one.proof is Proof.HOLDS or one.signer_trusted for one in self.records)
        return ExitCode.OK if known else ExitCode.UNTRUSTED

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "path": self.path,
            "service": self.service,
            "how": self.how.value,
            "bits": self.bits,
            "hidden_among": self.hidden_among,
            "records": [one.to_json() for one in self.records],
            "refused": list(self.refused),
        }


def find_on_service(
    path: Path,
    service: Service,
    trust: TrustStore,
    *,
    how: How = How.FINGERPRINT,
    hide_among: int = bands.DEFAULT_K,
    limit: int = 10,
    check_anchor: CheckAnchor | None = None,
) -> Resolution:
    """Ask one service about one file. Nothing is asked of anybody else, but by ``check_anchor``.

    Args:
        how: what the service is shown.
        hide_among: for :attr:`How.PRIVATE`, among how many records the file shall be hidden, 1 or more.
        limit: how many matches to ask for, 1 to 100.
        check_anchor: asks the chain for the anchor that a receipt names; None leaves it unchecked, and says so.

    Raises:
        MissingPathError, MediaError: the file cannot be read.
        UsageError: the file has nothing that could be asked for in this way.
        CheckError: the service cannot be asked, or does not answer as it should.
    """
    file = MediaFile.open(path)
    asked = Asked(file, fingerprint_file(file))
    bits = hidden = 0
    if how is How.CONTENT:
        answers: Sequence[Answered] = service.by_content(file, limit=limit)
    elif how is How.PRIVATE:
        question, _ = bands.choose(_pdq(asked), service.band_counts(), hide_among)
        among = service.bucket(question)
        bits, hidden = question.bits, _distinct(among)
        answers = [one for one in among if one.fault or _is_like(one, asked)]
    else:
        bits = 8 * len(_pdq(asked))
        if PDQ not in service.algorithms():
            raise CheckError(
                f"{service.url} does not know {PDQ}", hint="add --upload to send it the file itself"
            )
        answers = _by_fingerprint(asked, service, limit)
    records = []
    refused = [printable(one.fault, 300) for one in answers if one.fault]
    if bits and how is How.PRIVATE and hidden < hide_among:
        refused.append(f"it said that at least {hide_among} records share these bits, and showed {hidden}")
    for one in answers:
        if one.match is not None:
            records.append(check_match(one.manifest_id, one.match, asked, trust, check_anchor))
        elif not one.fault:
            fetched = sum(found.proof is Proof.NONE for found in records)
            records.append(_check_manifest(one, file, service, trust, fetch=fetched < MAX_MANIFESTS))
    return Resolution(
        str(path),
        service.url,
        how,
        bits,
        hidden,
        tuple(sorted(records, key=lambda one: (one.origin, one.index))),
        tuple(refused),
    )


def _pdq(asked: Asked) -> bytes:
    pdq = asked.pdq()
    if pdq is None:
        raise UsageError(
            f"{asked.file.path} has no fingerprint to ask with: it is no picture or film, or too flat",
            hint="add --upload, without --private, to send the file itself",
        )
    return pdq


def _by_fingerprint(asked: Asked, service: Service, limit: int) -> list[Answered]:
    """Ask for the picture as it is, and where nothing is found, for its turned and mirrored forms."""
    for code in asked.codes():
        if found := service.by_pdq(PDQ, code, limit=limit):
            return found
    return []


def _distinct(answers: Sequence[Answered]) -> int:
    """So many different entries of logs; a service that repeats itself hides nobody."""
    receipts = [one.match.receipt for one in answers if one.match is not None]
    return len({(receipt.checkpoint.origin, receipt.index) for receipt in receipts})


def _is_like(one: Answered, asked: Asked) -> bool:
    return one.match is not None and asked.likeness(one.match.receipt.opening.signed.record)[0] is not None


def _check_manifest(
    one: Answered, file: MediaFile, service: Service, trust: TrustStore, *, fetch: bool
) -> Resolved:
    """A match that comes without a receipt: all that there is to check is its manifest."""
    bare = Resolved(printable(one.manifest_id, 200), Proof.NONE)
    if one.endpoint:
        where = printable(one.endpoint, 200)
        return replace(bare, faults=(f"its manifest is said to lie at {where}, which was not asked",))
    if not fetch:
        return replace(bare, faults=("its manifest was not fetched: there are too many",))
    try:
        report = read_manifest(
            file.path,
            file.format.mime,
            anchors_pem=trust.anchors,
            manifest_data=service.manifest(one.manifest_id),
        )
    except MediaError:
        raise
    except VeilmarkError as error:
        return replace(bare, faults=(f"its manifest was not checked: {error}",))
    return bare if report is None else _judged(bare, report)


def _judged(bare: Resolved, report: ManifestReport) -> Resolved:
    """The manifest's signer counts where nothing but the content fails: the file may be an altered copy."""
    elsewhere = [one.explanation for one in report.failures if one.kind is not FailureKind.CONTENT]
    faults = tuple(printable(text, 300) for text in elsewhere)
    if report.state is ManifestState.UNSUPPORTED:
        faults = ("its manifest is of a form that cannot be read",)
    elif len(elsewhere) < len(report.failures):
        faults = (*faults, "this file is not what the manifest was made for, bit for bit")
    return replace(
        bare,
        signer_name=report.signer_name,
        key_id=report.key_id,
        signer_trusted=report.signer_trusted and not elsewhere,
        time=report.signed_time,
        faults=faults,
    )
