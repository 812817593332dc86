"""Published trust lists: read both forms of the C2PA's lists, the older interim lists, and what came with them.

* ETSI TS 119 602, a "list of trusted entities" in JSON: sequence number, next update, and each entry's status;
* PEM: certificates with remarks between them. Those that may issue others are anchors, the others an allowed list;
* an allowed list of Base64 (or hex) SHA-256 values, one a line;
* a configuration of extended key usages: dotted object identifiers, one a line.

Nothing in a list is believed beyond that: whether a list is the right one is for the person who adds it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance import strict_json
from provenance.errors import UsageError
from provenance.identity.certificates import (
    UNREADABLE,
    claimed_name,
    is_authority,
    printable,
    read_der,
    to_der,
)
from provenance.trust.anchors import Purpose

MAX_LIST_BYTES = 2 * 1024 * 1024
MAX_CERTIFICATES = 2000
_TRUSTED = "trusted"
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,17})){1,40}")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]{1,100000}-----END CERTIFICATE-----")


@dataclass(frozen=True)
class ListedCertificate:
    """One certificate of a list.

    Attributes:
        operator: who runs it, as the list says; empty in a PEM list.
        status: the last part of the list's status address; ``trusted`` is the only one that counts.
        since: when that status began (RFC 3339), or empty.
    """

    certificate: x509.Certificate
    operator: str = ""
    status: str = _TRUSTED
    since: str = ""

    @property
    def trusted(self) -> bool:
        return self.status == _TRUSTED

    @property
    def name(self) -> str:
        return claimed_name(self.certificate)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the DER form."""
        return hashlib.sha256(to_der(self.certificate)).hexdigest()

    def to_json(self) -> dict[str, str]:
        """What ``trust list --json`` says of it."""
        return {
            "subject": printable(self.certificate.subject.rfc4514_string()),
            "operator": self.operator,
            "sha256": self.fingerprint,
            "expires": moment_text(self.certificate.not_valid_after_utc),
            "status": self.status,
            "since": self.since,
        }


@dataclass(frozen=True)
class TrustList:
    """A list as it was published.

    Attributes:
        title: as the list calls itself; empty in the forms that say none.
        sequence: number of the issue, or None where the form has none.
        issued, next_update: RFC 3339, or empty.
        hashes: Base64 SHA-256 of end-entity certificates.
        usages: object identifiers of extended key usages.
    """

    title: str = ""
    operator: str = ""
    sequence: int | None = None
    issued: str = ""
    next_update: str = ""
    certificates: tuple[ListedCertificate, ...] = ()
    hashes: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()

    def authorities(self) -> str:
        """PEM of the certificate authorities whose status is ``trusted``."""
        return self._pem(authorities=True)

    def allowed(self) -> tuple[str, ...]:
        """End-entity certificates whose status is ``trusted`` (one PEM text) and listed hashes."""
        pem = self._pem(authorities=False)
        return (*([pem] if pem else []), *self.hashes)

    def guessed_purpose(self) -> Purpose:
        """What the list is for, by its title, else by the key usages of its authorities; else signers."""
        words = self.title.casefold().replace("-", " ").split()
        if "tsa" in words or "timestamp" in words or "stamping" in words:
            return Purpose.TIME_STAMPS
        if self.title:
            return Purpose.SIGNERS
        usages = [usage for one in self.certificates for usage in _usages(one.certificate)]
        if usages and all(usage == ExtendedKeyUsageOID.TIME_STAMPING for usage in usages):
            return Purpose.TIME_STAMPS
        return Purpose.SIGNERS

    def overdue(self, *, at: datetime | None = None) -> bool:
        """Whether a newer issue was announced for a time that is past."""
        return bool(self.next_update) and parse_moment(self.next_update) < (at or datetime.now(UTC))

    def _pem(self, *, authorities: bool) -> str:
        return "".join(
            one.certificate.public_bytes(serialization.Encoding.PEM).decode()
            for one in self.certificates
            if one.trusted and is_authority(one.certificate) is authorities
        )


def parse_list(text: str) -> TrustList:
    """Read a list in any of the forms.

    Raises:
        UsageError: none of the forms, over the limits, or damaged.
    """
    if len(text.encode()) > MAX_LIST_BYTES:
        raise UsageError(f"the list is over the limit of {MAX_LIST_BYTES} bytes")
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return _parse_entities(text)
    if "-----BEGIN CERTIFICATE-----" in text:
        return _parse_pem(text)
    return _parse_lines(text)


def parse_moment(text: str) -> datetime:
    """RFC 3339 in UTC; ValueError otherwise."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_entities(text: str) -> TrustList:
    """ETSI TS 119 602, the members that C2PA's lists have."""
    try:
        body = strict_json.loads(text)["LoTE"]
        scheme = body["ListAndSchemeInformation"]
        sequence = scheme["LoTESequenceNumber"]
        if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < 2**53:
            raise ValueError("the sequence number is no number")
        found: list[ListedCertificate] = []
        for entity in body["TrustedEntitiesList"]:
            operator = _english(entity["TrustedEntityInformation"]["TEName"])
            for service in entity["TrustedEntityServices"]:
                found += _service(service["ServiceInformation"], operator)
                if len(found) > MAX_CERTIFICATES:
                    raise ValueError(f"over {MAX_CERTIFICATES} certificates")
        parsed = TrustList(
            title=_english(scheme["SchemeName"]),
            operator=_english(scheme["SchemeOperatorName"]),
            sequence=sequence,
            issued=_checked_moment(scheme["ListIssueDateTime"]),
            next_update=_checked_moment(scheme["NextUpdate"]) if scheme.get("NextUpdate") else "",
            certificates=tuple(found),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"the list cannot be read as ETSI TS 119 602: {printable(str(error), 120)}",
            hint="get it again from where it is published",
        ) from error
    return _nonempty(parsed)


def _service(service: dict[str, Any], operator: str) -> list[ListedCertificate]:
    status = str(service["ServiceStatus"]).rstrip("/").rsplit("/", 1)[-1]
    since = _checked_moment(service["StatusStartingTime"])
    return [
        ListedCertificate(
            read_der(base64.b64decode(one["val"], validate=True)),
            operator,
            printable(status, 40),
            since,
        )
        for one in service["ServiceDigitalIdentity"]["X509Certificates"]
    ]


def _parse_pem(text: str) -> TrustList:
    blocks = _PEM.findall(text)
    if len(blocks) != text.count("-----BEGIN") or len(blocks) > MAX_CERTIFICATES:
        raise UsageError(
            f"the list holds {text.count('-----BEGIN')} blocks, of which {len(blocks)} are certificates; "
            f"at most {MAX_CERTIFICATES} and nothing else is expected",
            hint="get it again from where it is published",
        )
    try:
        parsed = [x509.load_pem_x509_certificate(block.encode()) for block in blocks]
    except UNREADABLE as error:
        raise UsageError("the list holds a certificate that cannot be read") from error
    unique = {to_der(one): ListedCertificate(one) for one in parsed}
    return _nonempty(TrustList(certificates=tuple(unique.values())))


def _parse_lines(text: str) -> TrustList:
    """Hashes of allowed certificates, and object identifiers; what starts with # or // is a remark."""
    hashes, usages = [], []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            continue
        digest = _digest(line)
        if digest:
            hashes.append(digest)
        elif _OID.fullmatch(line):
            usages.append(line)
        else:
            raise UsageError(
                f"{printable(line, 60)!r} is no certificate, no SHA-256 and no object identifier",
                hint="expected a trust list: ETSI TS 119 602 (JSON), PEM, hashes, or key usages",
            )
    return _nonempty(TrustList(hashes=tuple(dict.fromkeys(hashes)), usages=tuple(dict.fromkeys(usages))))


def _digest(line: str) -> str:
    """A SHA-256 in Base64, from Base64 or hex; empty for anything else."""
    try:
        raw = bytes.fromhex(line) if len(line) == 64 else base64.b64decode(line, validate=True)
    except (ValueError, binascii.Error):
        return ""
    return base64.b64encode(raw).decode() if len(raw) == 32 else ""


def _nonempty(parsed: TrustList) -> TrustList:
    if not (parsed.certificates or parsed.hashes or parsed.usages):
        raise UsageError("the list is empty", hint="get it again from where it is published")
    return parsed


def _english(names: list[dict[str, Any]]) -> str:
    chosen = next((one for one in names if one.get("lang") == "en"), names[0] if names else {})
    return printable(str(chosen.get("value", "")))


def _checked_moment(text: Any) -> str:
    return moment_text(parse_moment(str(text)))


def _usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return []
