"""Taking a key back: a signed statement, and what it means for what the key signed before.

A revocation names a key and a moment. It is signed by the root that issued the key's certificate, or by the
key itself where there is no such root here. It takes effect for those who put it into their trust store, as
everything does that a verifier believes.

**Meaning.** A signature by the key counts as made before the revocation only where something outside the
signer's control says so: an anchor on a chain, a witness's cosignature, or a time stamp by a trusted
authority, not later than the moment of revocation. Who holds a stolen key can also run a ledger and set a
clock, so a self-asserted time, and a ledger's own word, prove nothing about it. Hence:

* anchored, witnessed or time-stamped by then: stays valid;
* later, or with no such evidence: no longer valid.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from provenance import strict_json
from provenance.errors import CheckError, IdentityError, ReceiptError, TamperedError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.admin import retired_certificates
from provenance.identity.identity import Identity, load_identity, load_root, root_folder
from provenance.identity.keyfiles import key_signer
from provenance.record import canonical_json, key_id_of, now_utc, verify_signature
from provenance.trust.lists import parse_moment
from provenance.verdict import TimeKind

REVOCATION_TYPE = "veilmark.revocation/1"
REASONS = ("unspecified", "keyCompromise", "superseded", "cessationOfOperation")
#: Kinds of time that the signer cannot make up.
INDEPENDENT_TIMES = (TimeKind.ANCHORED, TimeKind.WITNESSED, TimeKind.STAMPED)
MAX_STATEMENT_BYTES = 64 * 1024
_CONTEXT = b"veilmark revocation signature v1\x00"


@dataclass(frozen=True)
class Revocation:
    """A verified statement.

    Attributes:
        key_id: hex SHA-256 of the revoked key's SubjectPublicKeyInfo.
        name: claimed name in the revoked certificate.
        revoked_at: RFC 3339 UTC; what was provably signed by then stays valid.
        issued_at: when the statement was made, by its maker's clock.
        reason: one of :data:`REASONS` (RFC 5280 names).
        by_root: signed by the issuer of the certificate; else by the revoked key itself.
    """

    key_id: str
    name: str
    revoked_at: str
    issued_at: str
    reason: str
    by_root: bool


@dataclass(frozen=True)
class RevocationCheck:
    """What revocations say about one signature."""

    valid: bool
    revocation: Revocation | None
    explanation: str


def revoke_key(
    home: Home,
    name: str,
    *,
    reason: str = "unspecified",
    revoked_at: str | None = None,
    key_id: str | None = None,
    passphrase: str | None = None,
) -> str:
    """Make a revocation statement (JSON text) for an identity's key, or for one it was rotated away from.

    Args:
        revoked_at: RFC 3339 UTC; default now. An earlier moment takes back more, and needs the root key.
        key_id: which key, when not the present one.

    Raises:
        IdentityError: unknown reason or key, a moment in the future, or one in the past without the root key.
    """
    if reason not in REASONS:
        raise IdentityError(f"unknown reason {reason[:40]!r}", hint=f"one of {', '.join(REASONS)}")
    identity = load_identity(home, name, passphrase)
    certificate = _certificate_of(home, identity, key_id or identity.key_id)
    issued_at = now_utc()
    moment = _checked_moment(revoked_at or issued_at, not_after=issued_at)
    body: dict[str, Any] = {
        "type": REVOCATION_TYPE,
        "key_id": key_id_of(certificates.to_der(certificate)),
        "certificate": base64.b64encode(certificates.to_der(certificate)).decode(),
        "reason": reason,
        "revoked_at": moment,
        "issued_at": issued_at,
    }
    if _has_root(home, identity):
        root, root_key = load_root(home, name, passphrase)
        issuer, sign = root, key_signer(root_key)
    elif moment != issued_at or certificate != identity.leaf:
        raise IdentityError(
            "without the root key a key can only take itself back, and only from now on",
            hint="bring the root key back from where you keep it offline",
        )
    else:
        issuer, sign = identity.leaf, identity.sign
    body["issuer"] = base64.b64encode(certificates.to_der(issuer)).decode()
    body["algorithm"] = certificates.algorithm_of(issuer.public_key())
    signature = sign(_CONTEXT + canonical_json(body))
    return json.dumps({**body, "signature": base64.b64encode(signature).decode()}, indent=2) + "\n"


def parse_revocation(statement: str | bytes) -> Revocation:
    """Check a statement's signature and that its signer may revoke the key.

    Raises:
        CheckError: not a statement, or too large.
        TamperedError: the signature does not verify, or its maker did not issue the certificate.
    """
    data = statement.encode() if isinstance(statement, str) else statement
    if len(data) > MAX_STATEMENT_BYTES:
        raise CheckError(f"revocation of {len(data)} bytes is over the limit of {MAX_STATEMENT_BYTES}")
    try:
        body = strict_json.loads(data)
        signature = base64.b64decode(body.pop("signature"), validate=True)
        certificate = base64.b64decode(body["certificate"], validate=True)
        issuer = base64.b64decode(body["issuer"], validate=True)
        if body["type"] != REVOCATION_TYPE or body["reason"] not in REASONS:
            raise ValueError("unknown type or reason")
        times = [_checked_moment(str(body[key])) for key in ("revoked_at", "issued_at")]
        algorithm, stated = str(body["algorithm"]), str(body["key_id"])
        leaf = certificates.read_der(certificate)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IdentityError) as error:
        raise CheckError(f"not a revocation statement: {certificates.printable(str(error), 120)}") from error
    try:
        verify_signature(issuer, algorithm, signature, _CONTEXT + canonical_json(body))
        by_root = certificate != issuer
        if key_id_of(certificate) != stated:
            raise TamperedError("the revocation names another key than its certificate")
        if by_root:
            _check_issued(leaf, certificates.read_der(issuer))
        elif times[0] < times[1]:
            raise TamperedError("a key that revokes itself cannot do so for the past")
    except ReceiptError as error:
        raise CheckError(f"revocation cannot be checked: {error}") from error
    name = certificates.claimed_name(leaf)
    return Revocation(stated, name, times[0], times[1], str(body["reason"]), by_root)


def check_revocations(
    statements: Iterable[str],
    key_id: str,
    times: Sequence[tuple[TimeKind, str]],
    *,
    chain_der: Sequence[bytes] = (),
) -> RevocationCheck:
    """Whether a signature by ``key_id`` still counts.

    Args:
        statements: revocations in the verifier's trust store.
        times: ``(kind, RFC 3339 time)`` known about the signature; only :data:`INDEPENDENT_TIMES` count.
        chain_der: the signer's certificates; a revocation of an intermediate one counts too.

    Statements that cannot be read or verified are skipped: they revoke nothing.
    """
    keys = {key_id} | {found for der in chain_der if (found := _key_id_or_none(der))}
    earliest: Revocation | None = None
    for text in statements:
        try:
            one = parse_revocation(text)
        except (CheckError, TamperedError):
            continue
        if one.key_id in keys and (earliest is None or one.revoked_at < earliest.revoked_at):
            earliest = one
    if earliest is None:
        return RevocationCheck(True, None, "")
    said = f"the key of {earliest.name!r} was revoked as of {earliest.revoked_at} ({earliest.reason})"
    limit = parse_moment(earliest.revoked_at)
    for kind, time in times:
        if kind in INDEPENDENT_TIMES and _at_or_before(time, limit):
            return RevocationCheck(True, earliest, f"{said}; this was {kind} before, on {time}")
    return RevocationCheck(False, earliest, f"{said}; nothing independent shows that this was signed before")


def _certificate_of(home: Home, identity: Identity, key_id: str) -> x509.Certificate:
    for one in [identity.leaf, *retired_certificates(home, identity.name)]:
        if key_id_of(certificates.to_der(one)) == key_id:
            return one
    raise IdentityError(f"identity {identity.name!r} never had a key {key_id[:16]}")


def _has_root(home: Home, identity: Identity) -> bool:
    return (root_folder(home, identity.name) / "root.key").is_file()


def _check_issued(leaf: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        leaf.verify_directly_issued_by(issuer)
    except Exception as error:
        raise TamperedError("the revocation is not signed by the issuer of the certificate") from error
    if not certificates.is_authority(issuer):
        raise TamperedError("the revocation is signed by a certificate that is no authority")


def _checked_moment(text: str, *, not_after: str | None = None) -> str:
    try:
        moment = parse_moment(text)
    except ValueError as error:
        raise IdentityError(f"{text[:40]!r} is no time", hint="for example 2026-11-22T10:00:00Z") from error
    shown = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if not_after and shown > not_after:
        raise IdentityError(f"{shown} lies in the future")
    return shown


def _at_or_before(text: str, limit: datetime) -> bool:
    try:
        return parse_moment(text) <= limit
    except ValueError:
        return False


def _key_id_or_none(der: bytes) -> str | None:
    try:
        return key_id_of(der)
    except (ReceiptError, ValueError):
        return None
