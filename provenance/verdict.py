"""What a verification found: facts with reasons, never a bare bool, and no claim of truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from provenance.errors import ExitCode

SCHEMA = "veilmark.verdict/1"


class State(StrEnum):
    """The one-word outcome."""

    TRUSTED = "trusted"
    VALID_UNKNOWN_SIGNER = "valid-unknown-signer"
    TAMPERED = "tampered"
    NO_CREDENTIAL = "no-credential"
    NOT_CHECKED = "could-not-check"


EXIT_CODES = {
    State.TRUSTED: ExitCode.OK,
    State.VALID_UNKNOWN_SIGNER: ExitCode.UNTRUSTED,
    State.TAMPERED: ExitCode.TAMPERED,
    State.NO_CREDENTIAL: ExitCode.NOT_FOUND,
    State.NOT_CHECKED: ExitCode.UNREADABLE,
}


class Standing(StrEnum):
    """Where the file stands in a ledger."""

    NONE = "not-logged"
    UNKNOWN_LOG = "logged-in-an-unknown-log"
    LOGGED = "logged"
    PENDING = "logged-anchor-pending"
    ANCHOR_NOT_CHECKED = "logged-anchor-not-checked"
    ANCHORED_BY_RPC = "logged-anchored-according-to-rpc"
    ANCHORED = "logged-and-anchored"
    MISMATCH = "receipt-does-not-belong-to-this-file"


@dataclass(frozen=True)
class AnchorFinding:
    """What was found out about a checkpoint's anchor: its standing, one sentence, and the block's time (RFC 3339)."""

    standing: Standing
    detail: str
    time: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that was checked; ``passed`` is None when it could not be or did not apply."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Time:
    """A time and who vouches for it: self-asserted, time-stamped, logged, witnessed or anchored."""

    value: str
    kind: str


@dataclass(frozen=True)
class Signer:
    """Who signed. ``name`` is a claimed name unless ``trusted``."""

    name: str
    key_id: str
    issuer: str
    algorithm: str
    trusted: bool


@dataclass(frozen=True)
class SimilarRecord:
    """A record of the same or a similar file, in log order.

    Attributes:
        match: ``file``, ``source`` or ``manifest`` (SHA-256 equal), ``pixels``, ``pdq``, ``features``, ``video`` or
            ``sound``.
        transform: what must be done to this picture to make it look like the recorded one.
        confirmed: geometry, or a run of agreeing moments, bears the likeness out.
        offset_seconds: where in the recorded video or sound this one begins.
        distance: Hamming distance of the PDQ hashes in bits (0..256), or None where it was not the measure.
        outline: corners of this picture's content inside the recorded picture, in relative coordinates.
    """

    index: int
    match: str
    relation: str
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
        return self.match in ("file", "source", "manifest")


@dataclass
class Verdict:
    """Everything one verification found."""

    path: str
    state: State
    headline: str
    sha256: str = ""
    media_type: str = ""
    title: str = ""
    relation: str = ""
    source_type: str = ""
    credential: str = "none"
    signer: Signer | None = None
    times: list[Time] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    ingredients: list[dict[str, Any]] = field(default_factory=list)
    parents: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, str] = field(default_factory=dict)
    standing: Standing = Standing.NONE
    ledger: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    similar: list[SimilarRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

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
            "sha256": self.sha256,
            "media_type": self.media_type,
            "title": self.title,
            "relation": self.relation,
            "digital_source_type": self.source_type,
            "credential": self.credential,
            "signer": vars(self.signer) if self.signer else None,
            "times": [vars(time) for time in self.times],
            "actions": self.actions,
            "ingredients": self.ingredients,
            "parents": self.parents,
            "training": self.training,
            "ledger": {"standing": self.standing.value, **self.ledger},
            "checks": [vars(check) for check in self.checks],
            "similar": [vars(record) for record in self.similar],
            "warnings": self.warnings,
        }
