"""What an entry of the trust store is: its kinds, how each is read and checked, and how it is shown."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

from cryptography import x509

from provenance import strict_json
from provenance.errors import IdentityError, UsageError, VeilmarkError
from provenance.identity import certificates
from provenance.identity.certificates import printable
from provenance.trust.anchors import Purpose
from provenance.trust.lists import TrustList, moment_text, parse_list

#: Kind of an entry to its folder and its files' ending.
FOLDERS = {
    "anchor": ("anchors", ".pem"),
    "time-stamp-anchor": ("time-stamp-anchors", ".pem"),
    "identity-anchor": ("identity-anchors", ".pem"),
    "list": ("lists", ".json"),
    "log": ("logs", ".vkey"),
    "witness": ("witnesses", ".vkey"),
    "contract": ("contracts", ".json"),
    "revocation": ("revocations", ".json"),
}
#: Kinds of anchors that a person names one by one, by purpose.
ANCHOR_KINDS = {
    Purpose.SIGNERS: "anchor",
    Purpose.TIME_STAMPS: "time-stamp-anchor",
    Purpose.IDENTITIES: "identity-anchor",
}
MAX_ANCHORS = 1000
_LIST_SCHEMA = "veilmark.trust-list/1"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class TrustedContract:
    """An on-chain ledger.

    Attributes:
        name: how it is called here.
        chain_id: EIP-155 chain id.
        address: the contract, ``0x`` and 40 hex digits.
        log_owner: whose checkpoint anchors in it count, ``0x`` and 40 hex digits.
    """

    name: str
    chain_id: int
    address: str
    log_owner: str


@dataclass(frozen=True)
class StoredList:
    """A trust list that was added.

    Attributes:
        purpose: what its authorities are trusted for.
        url: where newer issues are published, or empty.
        published: the list's text as it was published.
    """

    name: str
    purpose: Purpose
    url: str
    published: str
    parsed: TrustList

    def to_text(self) -> str:
        """How it is kept."""
        body = {
            "schema": _LIST_SCHEMA,
            "purpose": self.purpose.value,
            "url": self.url,
            "published": self.published,
        }
        return json.dumps(body, indent=1) + "\n"


@dataclass(frozen=True)
class TrustEntry:
    """One line of ``veilmark trust list``.

    Attributes:
        expires: when it ends (RFC 3339): the first certificate of an anchor, the next update of a list; or empty.
        sha256: fingerprint of an anchor's first certificate, to compare; else empty.
        purpose: what a list is for; else empty.
        certificates: of a list or of an anchor with several; each with subject, fingerprint, expiry and status.
    """

    kind: str
    name: str
    detail: str
    expires: str = ""
    sha256: str = ""
    purpose: str = ""
    certificates: list[dict[str, str]] = field(default_factory=list)


def parse_anchor(pem: str, name: str) -> list[x509.Certificate]:
    """Certificate authorities of a PEM text.

    Raises:
        UsageError: no certificate, too many, or one that is no authority.
    """
    try:
        chain = certificates.parse_chain(pem, max_certificates=MAX_ANCHORS)
    except IdentityError as error:
        raise UsageError(f"{name} is no trust anchor: {error}", hint=error.hint) from error
    for one in chain:
        if not certificates.is_authority(one):
            raise UsageError(
                f"{certificates.claimed_name(one)!r} in {name} is no certificate authority",
                hint="trust the root that issued it (`veilmark identity show --root` prints one's own), or add a list "
                "of allowed certificates with --list",
            )
    return chain


def parse_vkey(text: str) -> str:
    """A C2SP verifier key in its normal form; UsageError otherwise."""
    from provenance.ledger.note import VerifierKey

    try:
        return str(VerifierKey.parse(text.strip()))
    except VeilmarkError as error:
        raise UsageError(
            f"{printable(text.strip(), 80)!r} is no verifier key: {error}", hint="expected NAME+HASH+BASE64"
        ) from error


def parse_contract(name: str, text: str) -> TrustedContract:
    """A contract entry; UsageError where it is damaged."""
    try:
        body = strict_json.loads(text)
        contract = TrustedContract(
            name=name,
            chain_id=int(body["chain_id"]),
            address=str(body["address"]),
            log_owner=str(body["log_owner"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"contract entry {name!r} is damaged", hint="remove it and add it again") from error
    good = _ADDRESS.fullmatch(contract.address) and _ADDRESS.fullmatch(contract.log_owner)
    if not good or not 0 < contract.chain_id < 2**63:
        raise UsageError(
            f"contract entry {name!r} has a wrong chain id or address",
            hint="an address is 0x and 40 hexadecimal digits",
        )
    return contract


def parse_stored_list(name: str, text: str) -> StoredList:
    """A list as :meth:`StoredList.to_text` wrote it; UsageError where it is damaged."""
    try:
        body = strict_json.loads(text)
        if body["schema"] != _LIST_SCHEMA:
            raise ValueError("unknown schema")
        published, url = str(body["published"]), str(body["url"])
        return StoredList(name, Purpose(body["purpose"]), url, published, parse_list(published))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"list entry {name!r} is damaged", hint="remove it and add it again") from error


def describe_anchor(kind: str, name: str, pem: str) -> TrustEntry:
    """Subject, fingerprint and expiry of certificates that were named one by one."""
    chain = parse_anchor(pem, name)
    digest = hashlib.sha256(certificates.to_der(chain[0])).hexdigest()
    more = f" and {len(chain) - 1} more" if len(chain) > 1 else ""
    ends = min(one.not_valid_after_utc for one in chain)
    detail = f"{certificates.claimed_name(chain[0])}{more}, until {ends:%Y-%m-%d}, SHA-256 {digest[:16]}"
    rows = [
        {
            "subject": printable(one.subject.rfc4514_string()),
            "sha256": hashlib.sha256(certificates.to_der(one)).hexdigest(),
            "expires": moment_text(one.not_valid_after_utc),
        }
        for one in chain
    ]
    return TrustEntry(kind, name, detail, moment_text(ends), digest, "", rows)


def describe_list(stored: StoredList) -> TrustEntry:
    """Issue, next update, and each certificate of a list."""
    parsed = stored.parsed
    parts = [f"for {stored.purpose.value}"]
    if parsed.title:
        parts.append(parsed.title)
    if parsed.sequence is not None:
        parts.append(f"issue {parsed.sequence} of {parsed.issued[:10]}")
    for number, what in (
        (sum(one.trusted for one in parsed.certificates), "certificates"),
        (sum(not one.trusted for one in parsed.certificates), "no longer trusted"),
        (len(parsed.hashes), "allowed certificates by hash"),
        (len(parsed.usages), "key usages"),
    ):
        if number:
            parts.append(f"{number} {what}")
    if parsed.next_update:
        due = "update was due" if parsed.overdue() else "next update"
        parts.append(f"{due} {parsed.next_update[:10]}")
    listed = [one.certificate.not_valid_after_utc for one in parsed.certificates if one.trusted]
    if listed:
        parts.append(f"first certificate ends {min(listed):%Y-%m-%d}")
    expires = parsed.next_update or (moment_text(min(listed)) if listed else "")
    rows = [one.to_json() for one in parsed.certificates]
    return TrustEntry("list", stored.name, ", ".join(parts), expires, "", stored.purpose.value, rows)
