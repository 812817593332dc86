"""What a verification found: facts with reasons, never a bare bool, and no claim of truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from provenance.errors import ExitCode
from provenance.record import Relation

SCHEMA = "veilmark.verdict/1"


class State(StrEnum):
    """The one-word outcome."""

    TRUSTED = "trusted"
    VALID_UNKNOWN_SIGNER = "valid-unknown-signer"
    TAMPERED = "tampered"
    EXPIRED = "expired"
    NO_CREDENTIAL = "no-credential"
    NOT_CHECKED = "could-not-check"


EXIT_CODES = {
    State.TRUSTED: ExitCode.OK,
    State.VALID_UNKNOWN_SIGNER: ExitCode.UNTRUSTED,
    State.TAMPERED: ExitCode.TAMPERED,
    State.EXPIRED: ExitCode.TAMPERED,
    State.NO_CREDENTIAL: ExitCode.NOT_FOUND,
    State.NOT_CHECKED: ExitCode.UNREADABLE,
}


class LedgerStatus(StrEnum):
    """What is known of the file's record in a ledger."""

    NONE = "not-logged"
    UNKNOWN_LOG = "logged-in-an-unknown-log"
    LOGGED = "logged"
    PENDING = "logged-anchor-pending"
    ANCHOR_NOT_CHECKED = "logged-anchor-not-checked"
    ANCHORED_BY_RPC = "logged-anchored-according-to-rpc"
    ANCHORED = "logged-and-anchored"
    MISMATCH = "receipt-does-not-belong-to-this-file"


#: Statuses of a record in a log whose key the verifier trusts.
TRUSTED_LOG = (
    LedgerStatus.LOGGED,
    LedgerStatus.PENDING,
    LedgerStatus.ANCHOR_NOT_CHECKED,
    LedgerStatus.ANCHORED_BY_RPC,
    LedgerStatus.ANCHORED,
)


class Credential(StrEnum):
    """Where the manifest was found."""

    NONE = "none"
    EMBEDDED = "embedded"
    SIDECAR = "side-car"


class CheckName(StrEnum):
    """What was checked."""

    MANIFEST = "manifest"
    SIGNER = "signer"
    IDENTITY = "identity"
    RECEIPT = "receipt"
    RECORD = "record"
    RECORD_SIGNATURE = "record-signature"
    LEDGER = "ledger"
    LEDGER_PROOF = "ledger-proof"
    ANCHOR = "anchor"
    REVOCATION = "revocation"


class TimeKind(StrEnum):
    """Who says when; only the last three are out of the signer's control."""

    SELF_ASSERTED = "self-asserted"
    RECORD = "record-self-asserted"
    STAMPED_BY_UNKNOWN = "time-stamped-by-an-unknown-authority"
    STAMPED = "time-stamped"
    WITNESSED = "witnessed"
    ANCHORED = "anchored"


class MatchKind(StrEnum):
    """How a record was found: the first three by an equal SHA-256, the others by likeness."""

    FILE = "file"
    SOURCE = "source"
    MANIFEST = "manifest"
    PIXELS = "pixels"
    PDQ = "pdq"
    FEATURES = "features"
    VIDEO = "video"
    SOUND = "sound"


@dataclass(frozen=True)
class AnchorFinding:
    """What was found out about a checkpoint's anchor: status, one sentence, and the block's time (RFC 3339)."""

    status: LedgerStatus
    detail: str
    time: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        passed: None when it could not be checked or did not apply.
        detail: one sentence.
        code: the validation status code of a manifest's failure, else empty.
    """

    name: CheckName
    passed: bool | None
    detail: str
    code: str = ""


@dataclass(frozen=True)
class Time:
    """A time (RFC 3339), what kind of evidence it is, and the witness's name where there is one."""

    value: str
    kind: TimeKind
    by: str = ""


@dataclass(frozen=True)
class Signer:
    """Who signed. ``name`` is a claimed name unless ``trusted``, which is None where the content is not what was
    signed: then nothing is said about the signer.
    """

    name: str
    key_id: str
    issuer: str
    algorithm: str
    trusted: bool | None


@dataclass(frozen=True)
class NamedIdentity:
    """Whom a CAWG identity assertion in the manifest names.

    Attributes:
        name: as its credential says; a claim unless ``confirmed``.
        issuer: who issued the credential, as it says.
        kind: ``x509``, ``identity-claims-aggregation``, or the assertion's own signature type.
        roles: what it says that the person or organization did, such as ``cawg.creator``.
        confirmed: the credential leads to an identity anchor that the verifier trusts, and the assertion verifies.
        fault: what does not verify, or empty.
    """

    name: str
    issuer: str
    kind: str
    roles: tuple[str, ...] = ()
    confirmed: bool = False
    fault: str = ""


@dataclass(frozen=True)
class SimilarRecord:
    """A record of the same or a similar file, in log order.

    Attributes:
        match: how it was found.
        transform: what must be done to this picture to make it look like the recorded one.
        confirmed: geometry, or a run of agreeing moments, bears the likeness out.
        offset_seconds: where in the recorded video or sound this one begins.
        distance: Hamming distance of the PDQ hashes in bits (0..256), or None where it was not the measure.
        outline: corners of this picture's content inside the recorded picture, in relative coordinates.
    """

    index: int
    match: MatchKind
    relation: Relation
    signer_name: str
    key_id: str
    signer_trusted: bool
    time: str
    logged_at: str
    file_sha256: str
    distance: int | None = None
    transform: str = ""
    confirmed: bool = True
    offset_seconds: float | None = None
    outline: list[list[float]] | None = None

    @property
    def exact(self) -> bool:
        return self.match in (MatchKind.FILE, MatchKind.SOURCE, MatchKind.MANIFEST)


@dataclass
class Verdict:
    """Everything one verification found.

    Attributes:
        synthetic: the signer, or the record, says that a generator made it or a part of it. Then the headline begins
            with that, whatever was found.
        warnings: what should be known beside the state, one sentence each.
        caveats: the gravest of them in a few words; the headline names them, so that every depth shows them.
    """

    path: str
    state: State
    headline: str
    sha256: str = ""
    media_type: str = ""
    title: str = ""
    relation: Relation | None = None
    source_type: str = ""
    synthetic: bool = False
    credential: Credential = Credential.NONE
    signer: Signer | None = None
    identities: list[NamedIdentity] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    ingredients: list[dict[str, Any]] = field(default_factory=list)
    parents: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, str] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)
    ledger_status: LedgerStatus = LedgerStatus.NONE
    ledger: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    similar: list[SimilarRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.state]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.passed is False]

    def to_json(self) -> dict[str, Any]:
        """The documented object that ``--json`` prints (see docs/reference/json.md)."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "state": self.state.value,
            "exit_code": int(self.exit_code),
            "headline": self.headline,
            "synthetic": self.synthetic,
            "sha256": self.sha256,
            "media_type": self.media_type,
            "title": self.title,
            "relation": self.relation.value if self.relation else "",
            "digital_source_type": self.source_type,
            "credential": self.credential.value,
            "signer": vars(self.signer) if self.signer else None,
            "identities": [vars(one) for one in self.identities],
            "times": [vars(time) for time in self.times],
            "actions": self.actions,
            "ingredients": self.ingredients,
            "parents": self.parents,
            "training": self.training,
            "stated": self.stated,
            "ledger": {"status": self.ledger_status.value, **self.ledger},
            "checks": [vars(check) for check in self.checks],
            "similar": [vars(record) for record in self.similar],
            "warnings": self.warnings,
        }
