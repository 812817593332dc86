"""Consent: whether footage may be used, on which basis, and the statements by which owners give it.

Footage whose manifest, or whose ledger record (found by hash or by looks), forbids training and is signed by somebody
else is not used. Two things open it: the owner's own key on this machine, or a *statement of consent* signed by that
key. Footage that nobody signed needs the declaration of the person who extracts to have consent, which is then said in
everything that is made. :mod:`synth.consent.permission` decides; this module makes and reads statements.

A statement is JSON (schema ``veilmark.consent/1``)::

    type        "veilmark.consent/1"
    files       [{sha256, manifest_sha256 (or null), name}, ...]: what may be used
    to          who may use it, a name; to_key: the SHA-256 of their public key, or null for whoever has the name
    purpose     for what
    issued      RFC 3339 UTC, by the owner's clock
    until       the last day on which it holds (YYYY-MM-DD, to the end of that day, UTC), or null
    signer      {key_id, name}
    algorithm, chain, signature      over the canonical form of all of the above (RFC 8785, as for ledger records)

The signature says that the owner's key made the statement; whose key that is, is for the claim on the file to say: a
statement counts only against claims by the very key that signed it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from provenance.errors import CheckError, ConsentError, ReceiptError, TamperedError, UsageError
from provenance.identity.certificates import printable
from provenance.identity.identity import Identity
from provenance.manifest.read import read_manifest
from provenance.media.files import sha256_file
from provenance.record import canonical_json, key_id_of, now_utc, verify_signature
from provenance.sign import check_source
from provenance.trust.revocation import check_revocations
from provenance.trust.store import TrustStore

STATEMENT_TYPE = "veilmark.consent/1"
MAX_STATEMENT_BYTES = 1024 * 1024
MAX_FILES = 5000
_MAX_TEXT = 500
_CONTEXT = b"veilmark consent signature v1\x00"
_FIELDS = frozenset(
    ("type", "files", "to", "to_key", "purpose", "issued", "until", "signer", "algorithm", "chain")
)
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Statement:
    """A statement whose signature was checked.

    Attributes:
        key_id, name: the key that signed it, and the name it claims.
        files: SHA-256 of files and of manifests that it is about.
        to, to_key, purpose, issued, until: see the module; ``to_key`` and ``until`` may be empty.
        chain_der: the signer's certificates, leaf first.
        body: the whole statement as it was read, to be carried along as evidence.
    """

    key_id: str
    name: str
    files: frozenset[str]
    to: str
    to_key: str
    purpose: str
    issued: str
    until: str
    chain_der: tuple[bytes, ...]
    body: dict[str, Any]

    def require_current(self, trust: TrustStore, *, today: date | None = None) -> None:
        """ConsentError where its time is over, or its key was revoked."""
        day = today or datetime.now(UTC).date()
        if self.until and date.fromisoformat(self.until) < day:
            raise ConsentError(
                f"the consent of {self.name!r} ended on {self.until}", hint="ask for a new statement"
            )
        found = check_revocations(trust.revocations, self.key_id, [], chain_der=self.chain_der)
        if not found.valid:
            raise ConsentError(
                f"the statement of consent does not count: {found.explanation}",
                hint="ask its owner for a statement by a key that was not revoked",
            )

    @property
    def sentence(self) -> str:
        """What it says, for a manifest and for a person."""
        until = f", until {self.until}" if self.until else ""
        return f"consent of {self.name} (key {self.key_id[:16]}) to {self.to} for {self.purpose}{until}"


def make_statement(
    files: Sequence[Path],
    identity: Identity,
    *,
    to: str,
    purpose: str,
    until: str | None = None,
    to_key: str | None = None,
) -> bytes:
    """Sign a statement of consent.

    Args:
        files: the footage that may be used. Give the signed files where you published signed ones.
        to: who may use it.
        purpose: for what.
        until: the last day on which it holds, ``YYYY-MM-DD``; None: no end.
        to_key: the SHA-256 of the public key (hex, ``veilmark identity show``) that alone may use the statement.

    Raises:
        UsageError: an empty or too long text, a day that is over or is none, no or too many files.
        MissingPathError, MediaError: a file that cannot be read.
    """
    for name, text in (("--to", to), ("--purpose", purpose)):
        if not text.strip() or len(text) > _MAX_TEXT or not text.isprintable():
            raise UsageError(f"{name} needs 1 to {_MAX_TEXT} printable characters", hint="say it in one line")
    if not 0 < len(files) <= MAX_FILES:
        raise UsageError(f"found {len(files)} files, expected 1 to {MAX_FILES}")
    if to_key is not None and not _SHA256.fullmatch(to_key):
        raise UsageError(f"{to_key[:80]!r} is no key id", hint="64 hex digits; see `veilmark identity show`")
    if until is not None:
        day = _day(until)
        if day is None or day < datetime.now(UTC).date():
            raise UsageError(f"{until[:40]!r} is no day to come", hint="give YYYY-MM-DD")
    body: dict[str, Any] = {
        "type": STATEMENT_TYPE,
        "files": [_described(path) for path in files],
        "to": to.strip(),
        "to_key": to_key,
        "purpose": purpose.strip(),
        "issued": now_utc(),
        "until": until,
        "signer": {"key_id": identity.key_id, "name": identity.claimed_name},
        "algorithm": identity.algorithm,
        "chain": [base64.b64encode(der).decode() for der in identity.chain_der],
    }
    signature = identity.sign(_CONTEXT + canonical_json(body))
    signed = {**body, "signature": base64.b64encode(signature).decode()}
    return (json.dumps(signed, indent=2, ensure_ascii=False) + "\n").encode()


def parse_statement(data: bytes) -> Statement:
    """Read a statement and check its signature.

    Raises:
        CheckError: not a statement, or over the limits.
        TamperedError: altered, or signed by another key than it names.
    """
    if len(data) > MAX_STATEMENT_BYTES:
        raise CheckError(f"statement of {len(data)} bytes is over the limit of {MAX_STATEMENT_BYTES}")
    try:
        whole = json.loads(data)
        body = {name: value for name, value in whole.items() if name != "signature"}
        signature = base64.b64decode(whole["signature"], validate=True)
        chain = [base64.b64decode(der, validate=True) for der in body["chain"]]
        _check_body(body)
        signed = _CONTEXT + canonical_json(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckError(
            f"not a statement of consent: {printable(str(error), 160)}",
            hint="its owner makes one with `veilmark consent FILE... -o statement.json`",
        ) from error
    try:
        verify_signature(chain[0], body["algorithm"], signature, signed)
        if key_id_of(chain[0]) != body["signer"]["key_id"]:
            raise TamperedError("the statement of consent names another key than the one that signed it")
    except TamperedError as error:
        raise TamperedError(
            f"the statement of consent was altered, or not made by {printable(body['signer']['name'], 100)!r}: {error}",
            hint="ask its owner for the statement again",
        ) from error
    except ReceiptError as error:
        raise CheckError(f"the statement of consent cannot be checked: {error}") from error
    hashes = {one[name] for one in body["files"] for name in ("sha256", "manifest_sha256") if one[name]}
    return Statement(
        key_id=body["signer"]["key_id"],
        name=printable(body["signer"]["name"], 200),
        files=frozenset(hashes),
        to=printable(body["to"], _MAX_TEXT),
        to_key=body["to_key"] or "",
        purpose=printable(body["purpose"], _MAX_TEXT),
        issued=body["issued"],
        until=body["until"] or "",
        chain_der=tuple(chain),
        body=whole,
    )


def read_statement(path: Path) -> Statement:
    """:func:`parse_statement` of a file; CheckError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_STATEMENT_BYTES + 1)
    except OSError as error:
        raise CheckError(
            f"cannot read {path}: {error.strerror or error}", hint="name the statement that its owner made"
        ) from error
    return parse_statement(data)


def _described(path: Path) -> dict[str, Any]:
    media = check_source(path)
    report = read_manifest(path, media.mime, anchors_pem=())
    intact = report is not None and report.state != "invalid"
    manifest = report.manifest_sha256 if report is not None and intact else None
    return {"sha256": sha256_file(path), "manifest_sha256": manifest or None, "name": path.name[:200]}


def _check_body(body: dict[str, Any]) -> None:
    """ValueError, KeyError or TypeError where a field is missing, unknown or of another form."""
    if set(body) != _FIELDS or body["type"] != STATEMENT_TYPE:
        raise ValueError(f"missing or unknown fields, or no {STATEMENT_TYPE}")
    if not body["chain"] or len(body["chain"]) > 10:
        raise ValueError("no or too many certificates")
    texts = (body["to"], body["purpose"], body["issued"], body["signer"]["name"], body["algorithm"])
    if not all(isinstance(text, str) and 0 < len(text) <= _MAX_TEXT for text in texts):
        raise ValueError("a text is missing or too long")
    if not isinstance(body["files"], list) or not 0 < len(body["files"]) <= MAX_FILES:
        raise ValueError("no or too many files")
    hashes = [one["sha256"] for one in body["files"]]
    optional = [one["manifest_sha256"] for one in body["files"]] + [body["to_key"]]
    hashes += [one for one in optional if one is not None] + [body["signer"]["key_id"]]
    if not all(isinstance(one, str) and _SHA256.fullmatch(one) for one in hashes):
        raise ValueError("a hash is not 64 hex digits")
    if body["until"] is not None and _day(body["until"]) is None:
        raise ValueError("the last day is no YYYY-MM-DD")


def _day(text: Any) -> date | None:
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
