"""What an answer is worth: everything in it is checked here, against this file and the verifier's own trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from provenance.errors import ReceiptError, TamperedError, UntrustedSignerError
from provenance.fingerprint.pdq import MATCH_DISTANCE, VARIANTS, hamming
from provenance.fingerprint.picture import Fingerprint, PictureFingerprint
from provenance.identity.certificates import printable
from provenance.ledger.receipt import Receipt
from provenance.media.media_file import MediaFile
from provenance.record import Record, Relation
from provenance.resolve.listing import pdq_in
from provenance.resolve.matches import Match
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.revocation import check_revocations
from provenance.trust.store import TrustStore
from provenance.verdict import AnchorFinding, LedgerStatus, MatchKind, TimeKind


class Proof(StrEnum):
    """What the receipt shows."""

    HOLDS = "holds"  #: the record is in a log that the verifier trusts
    UNKNOWN_LOG = "unknown-log"  #: it is in the log it names, whoever keeps that
    FAILS = "fails"  #: something in it does not verify
    NONE = "none"  #: the service gave none


@dataclass(frozen=True)
class Asked:
    """The file that was asked about, and what can be compared with it."""

    file: MediaFile
    fingerprint: Fingerprint

    def likeness(self, record: Record) -> tuple[MatchKind | None, int | None, str]:
        """How the file is like a record's, found here: kind, differing PDQ bits, and what to do to the file.

        None, where nothing that the record holds shows it.
        """
        digest = self.file.sha256
        if record.file_sha256 == digest:
            return MatchKind.FILE, None, ""
        if record.source_sha256 == digest:
            return MatchKind.SOURCE, None, ""
        own = self.fingerprint.to_record()
        pixels = own.get("pixels_sha256")
        if pixels and record.fingerprints.get("pixels_sha256") == pixels:
            return MatchKind.PIXELS, 0, VARIANTS[0]
        theirs = pdq_in(record)
        if theirs is None:
            return None, None, ""
        distance, place = min((hamming(code, theirs), place) for place, code in enumerate(self.codes()))
        if distance > MATCH_DISTANCE:
            return None, None, ""
        kind = MatchKind.VIDEO if record.fingerprints.get("kind") == "video" else MatchKind.PDQ
        return kind, distance, VARIANTS[place]

    def codes(self) -> list[bytes]:
        """PDQ hashes to compare with: of a picture those of its turned forms too, the upright one first."""
        if isinstance(self.fingerprint, PictureFingerprint):
            return [bytes(code) for code in self.fingerprint.variants]
        return [self.pdq() or bytes(32)]

    def pdq(self) -> bytes | None:
        """The upright hash; None where there is none, or one too weak to identify anything."""
        own = self.fingerprint.to_record()
        usable = isinstance(self.fingerprint, PictureFingerprint) and self.fingerprint.pdq_usable
        if "pdq" not in own or not (usable or self.fingerprint.kind == "video"):
            return None
        return bytes.fromhex(str(own["pdq"]))


@dataclass(frozen=True)
class Resolved:
    """A record or manifest that a service named, as it stands after the checks.

    Attributes:
        manifest_id: what the service calls the manifest, or empty.
        proof: what its receipt shows.
        match: how the file is like the record's, found here; None: not found here, the service says so.
        said: how the service says that it was found.
        distance: PDQ bits that differ, counted here.
        origin, index, size: the log, the entry, and the size of the checkpoint.
        signer_name: a claimed name unless ``signer_trusted``.
        signer_trusted: the certificates lead to an anchor that the verifier trusts, and are not revoked.
        time: the signer's own clock.
        witnessed: trusted witnesses, with the time each states.
        anchors: on how many chains the checkpoint is anchored, as the receipt says.
        anchor: what became of that: :attr:`LedgerStatus.ANCHORED` and the like; None where the receipt names none.
        anchor_detail: the same in one sentence; it says so where an anchor was not checked.
        anchored_at: time of the block, RFC 3339; empty where no anchor was shown.
        faults: what does not hold, one sentence each.
        receipt: the receipt itself.
    """

    manifest_id: str
    proof: Proof
    match: MatchKind | None = None
    said: MatchKind | None = None
    distance: int | None = None
    transform: str = ""
    origin: str = ""
    index: int = -1
    size: int = 0
    relation: Relation | None = None
    signer_name: str = ""
    key_id: str = ""
    signer_trusted: bool = False
    time: str = ""
    logged_at: str = ""
    file_sha256: str = ""
    witnessed: dict[str, str] = field(default_factory=dict)
    anchors: int = 0
    anchor: LedgerStatus | None = None
    anchor_detail: str = ""
    anchored_at: str = ""
    faults: tuple[str, ...] = ()
    receipt: Receipt | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, object]:
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "receipt"},
            "faults": list(self.faults),
        }


#: Asks a chain about a receipt's checkpoint, by the verifier's own trusted contracts; raises TamperedError where
#: another history is anchored.
CheckAnchor = Callable[[Receipt], AnchorFinding]
_NOT_ASKED = "anchor not checked: no node was asked"
_NO_TRUST = "anchor not checked: it is of a log that you do not trust"


def check_match(
    manifest_id: str, match: Match, asked: Asked, trust: TrustStore, check_anchor: CheckAnchor | None = None
) -> Resolved:
    """Check one match: signature of the record, place in the log, log and witnesses, anchor, signer, likeness."""
    receipt = match.receipt
    signed, faults = receipt.opening.signed, []
    record, witnessed = signed.record, {}
    proof = Proof.HOLDS
    try:
        signed.verify()
        receipt.verify_inclusion()
        verified = receipt.verify([*trust.log_keys.values(), *trust.witnesses.values()])
        witnessed = {key.name: _utc(stamp) for key, stamp in verified.items() if stamp is not None}
    except UntrustedSignerError:
        proof = Proof.UNKNOWN_LOG
    except (TamperedError, ReceiptError) as error:
        proof = Proof.FAILS
        faults.append(str(error))
    anchor = None
    if receipt.anchors:
        anchor = AnchorFinding(LedgerStatus.ANCHOR_NOT_CHECKED, _NOT_ASKED)
        if proof is not Proof.HOLDS:
            anchor = replace(anchor, detail=_NO_TRUST if proof is Proof.UNKNOWN_LOG else "")
        elif check_anchor is not None:
            try:
                anchor = check_anchor(receipt)
            except TamperedError as error:
                proof, anchor = Proof.FAILS, replace(anchor, detail="another history is anchored")
                faults.append(str(error))
    trusted = proof is not Proof.FAILS and trusted_anchor(signed.chain_der, trust.anchors_pem) is not None
    if trusted:
        times = [(TimeKind.WITNESSED, moment) for moment in witnessed.values()]
        revoked = check_revocations(trust.revocations, signed.key_id, times, chain_der=signed.chain_der)
        if not revoked.valid:
            trusted = False
            faults.append(revoked.explanation)
    kind, distance, transform = asked.likeness(record)
    return Resolved(
        manifest_id=manifest_id,
        proof=proof,
        match=kind,
        said=match.kind,
        distance=distance,
        transform=transform or match.transform,
        origin=receipt.checkpoint.origin,
        index=receipt.index,
        size=receipt.checkpoint.size,
        relation=record.relation,
        signer_name=printable(record.signer.get("name", ""), 200),
        key_id=record.signer["key_id"],
        signer_trusted=trusted,
        time=printable(record.time, 40),
        logged_at=printable(match.logged_at, 40),
        file_sha256=record.file_sha256,
        witnessed=witnessed,
        anchors=len(receipt.anchors),
        anchor=anchor.status if anchor else None,
        anchor_detail=anchor.detail if anchor else "",
        anchored_at=anchor.time if anchor else "",
        faults=tuple(faults),
        receipt=receipt,
    )


def _utc(stamp: int) -> str:
    try:
        return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(stamp)
