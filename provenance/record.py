"""The ledger entry: what it says, its canonical bytes, its signature, its salted commitment.

A *record* states who says what about which file. It is signed by the identity that signed the manifest. What
the ledger holds is only a *commitment* to the signed record, salted with 32 random bytes, so that a leaf
reveals nothing (a bare perceptual hash could be confirmed by guessing). The *opening* (salt and signed
record) travels in the receipt.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from provenance import strict_json
from provenance.errors import ReceiptError, TamperedError
from provenance.lazy import unlocked_property

RECORD_TYPE = "veilmark.record/1"
MAX_OPENING_BYTES = 256 * 1024
_SIGNATURE_CONTEXT = b"veilmark record signature v1\x00"
_COMMITMENT_CONTEXT = b"veilmark record commitment v1\x00"


class Relation(StrEnum):
    """How a file came about, as its signer states it."""

    CAPTURED = "captured"
    EDITED = "edited"
    CLOAKED = "cloaked"
    SYNTHETIC = "synthetic"
    RECORDED = "recorded"  #: logged as it was found, without a manifest


class RecordSigner(Protocol):
    """What :class:`provenance.identity.identity.Identity` offers for signing a record."""

    @property
    def algorithm(self) -> str:
        """C2PA name: ``es256``, ``es384`` or ``ed25519``."""
        ...

    @property
    def chain_der(self) -> list[bytes]:
        """Certificates, leaf first, root last, DER."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Signature over ``data``: raw ``r || s`` for ECDSA (IEEE P1363), 64 bytes for Ed25519."""
        ...


@dataclass(frozen=True)
class Record:
    """One statement about one file. Hashes are lower-case hex SHA-256; times are RFC 3339 UTC.

    Attributes:
        relation: how the file came about.
        source_sha256: the file as it came in.
        file_sha256: the file as it went out (equal to ``source_sha256`` when it was recorded untouched).
        manifest_sha256: the C2PA manifest store's bytes, or None where there is none.
        manifest_cid: content id of the stored manifest, or None.
        media_type: MIME type detected from the bytes.
        fingerprints: perceptual fingerprints, name to value (see :mod:`provenance.fingerprint.picture`).
        parents: ``file_sha256`` of the files this one was made from.
        signer: ``{"key_id": hex SHA-256 of the leaf's SubjectPublicKeyInfo, "name": claimed name}``.
        time: the signer's own clock (self-asserted).
        extra: further public statements of the signer, JSON values.
    """

    relation: Relation
    source_sha256: str
    file_sha256: str
    manifest_sha256: str | None
    manifest_cid: str | None
    media_type: str
    fingerprints: dict[str, Any]
    parents: list[str]
    signer: dict[str, str]
    time: str
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"type": RECORD_TYPE, **{name: getattr(self, name) for name in self.__dataclass_fields__}}

    @unlocked_property
    def canonical(self) -> bytes:
        """Canonical JSON, made once: it is what gets signed and what gets committed to."""
        return canonical_json(self.to_json())

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """Parse and check every field.

        Raises:
            ReceiptError: a field is missing, unknown, or of the wrong type.
        """
        if not isinstance(data, dict) or data.get("type") != RECORD_TYPE:
            raise ReceiptError(f"not a {RECORD_TYPE}")
        values = {key: value for key, value in data.items() if key != "type"}
        if set(values) != set(cls.__dataclass_fields__):
            odd = sorted(set(values) ^ set(cls.__dataclass_fields__))
            raise ReceiptError(f"record has missing or unknown fields: {', '.join(map(str, odd))[:200]}")
        for name in ("source_sha256", "file_sha256"):
            if not _is_sha256(values[name]):
                raise ReceiptError(f"record field {name} is not a SHA-256 in hex")
        ok = (
            values["relation"] in set(Relation)
            and (values["manifest_sha256"] is None or _is_sha256(values["manifest_sha256"]))
            and isinstance(values["manifest_cid"], str | None)
            and isinstance(values["media_type"], str)
            and isinstance(values["fingerprints"], dict)
            and isinstance(values["parents"], list)
            and all(_is_sha256(parent) for parent in values["parents"])
            and isinstance(values["signer"], dict)
            and all(isinstance(part, str) for part in values["signer"].values())
            and _is_sha256(values["signer"].get("key_id"))
            and isinstance(values["time"], str)
            and isinstance(values["extra"], dict)
        )
        if not ok:
            raise ReceiptError("record has a field of the wrong type or value")
        try:
            _refuse_floats(values)
        except (ValueError, RecursionError) as error:
            raise ReceiptError(f"record cannot be parsed: {error}") from error
        return cls(**{**values, "relation": Relation(values["relation"])})


@dataclass(frozen=True)
class SignedRecord:
    """A record, its signature, and the signer's certificates (leaf first, DER)."""

    record: Record
    algorithm: str
    signature: bytes
    chain_der: list[bytes]

    def to_json(self) -> dict[str, Any]:
        return {
            "record": self.record.to_json(),
            "algorithm": self.algorithm,
            "signature": base64.b64encode(self.signature).decode(),
            "chain": [base64.b64encode(der).decode() for der in self.chain_der],
        }

    @property
    def canonical(self) -> bytes:
        """``canonical_json(self.to_json())``, put together from the record's canonical bytes."""
        return b"".join(self.canonical_parts)

    @unlocked_property
    def canonical_parts(self) -> tuple[bytes, bytes]:
        """:attr:`canonical` in two: what all records of the signer begin with, and the rest."""
        head = _canonical_head(self.algorithm, tuple(self.chain_der))
        signature = base64.b64encode(self.signature)
        return head, b',"record":' + self.record.canonical + b',"signature":"' + signature + b'"}'

    @classmethod
    def from_json(cls, data: Any) -> SignedRecord:
        try:
            return cls(
                record=Record.from_json(data["record"]),
                algorithm=str(data["algorithm"]),
                signature=base64.b64decode(data["signature"], validate=True),
                chain_der=[base64.b64decode(der, validate=True) for der in data["chain"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ReceiptError(f"not a signed record: {error}") from error

    @property
    def key_id(self) -> str:
        """Hex SHA-256 of the leaf certificate's SubjectPublicKeyInfo."""
        return key_id_of(self.chain_der[0])

    def verify(self) -> None:
        """Check the signature with the leaf's key and that the record names that key.

        Says nothing about whether the certificate is trusted.

        Raises:
            TamperedError: signature or key id do not match.
            ReceiptError: the certificate or algorithm cannot be used.
        """
        if not self.chain_der:
            raise ReceiptError("signed record carries no certificate")
        if self.record.signer["key_id"] != self.key_id:
            raise TamperedError("the record names another key than the one that signed it")
        verify_signature(self.chain_der[0], self.algorithm, self.signature, _signed_bytes(self.record))


@dataclass(frozen=True)
class Opening:
    """What proves that a leaf commits to a signed record: the salt and the record itself."""

    salt: bytes
    signed: SignedRecord

    @property
    def commitment(self) -> bytes:
        """32 bytes: the ledger leaf's data."""
        return commitment_to(self.salt, self.signed.canonical)

    def to_bytes(self) -> bytes:
        return canonical_json({"salt": self.salt.hex(), **self.signed.to_json()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Opening:
        """Parse what :meth:`to_bytes` wrote.

        Raises:
            ReceiptError: too large, not JSON, or not an opening.
        """
        if len(data) > MAX_OPENING_BYTES:
            raise ReceiptError(f"opening of {len(data)} bytes is over the limit of {MAX_OPENING_BYTES}")
        try:
            parsed = strict_json.loads(data)
            salt = bytes.fromhex(parsed["salt"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ReceiptError(f"opening cannot be parsed: {error}") from error
        if len(salt) != 32:
            raise ReceiptError("opening's salt is not 32 bytes")
        return cls(salt=salt, signed=SignedRecord.from_json(parsed))


def commitment_to(salt: bytes, body: bytes) -> bytes:
    """The commitment to a signed record's canonical bytes, 32 bytes."""
    return hashlib.sha256(_COMMITMENT_CONTEXT + salt + body).digest()


def sign_record(record: Record, signer: RecordSigner) -> Opening:
    """Sign ``record`` and draw a fresh salt for its commitment."""
    signature = signer.sign(_signed_bytes(record))
    signed = SignedRecord(record, signer.algorithm, signature, list(signer.chain_der))
    return Opening(salt=secrets.token_bytes(32), signed=signed)


def canonical_json(value: Any) -> bytes:
    """RFC 8785-style bytes: sorted keys, no spaces, UTF-8; no floats, whose text form is not unique."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_id_of(certificate_der: bytes) -> str:
    """Hex SHA-256 of a certificate's SubjectPublicKeyInfo."""
    key = _public_key(certificate_der)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def verify_signature(certificate_der: bytes, algorithm: str, signature: bytes, data: bytes) -> None:
    """Verify a raw (P1363 or Ed25519) signature with a certificate's key; TamperedError when it fails."""
    key = _public_key(certificate_der)
    try:
        if algorithm == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
            return
        if algorithm in ("es256", "es384") and isinstance(key, ec.EllipticCurvePublicKey):
            half = len(signature) // 2
            if len(signature) != 2 * ((key.curve.key_size + 7) // 8):
                raise TamperedError("signature has the wrong length")
            der = encode_dss_signature(
                int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            )
            digest = hashes.SHA256() if algorithm == "es256" else hashes.SHA384()
            key.verify(der, data, ec.ECDSA(digest))
            return
    except TamperedError:
        raise
    except Exception as error:
        raise TamperedError("the record's signature does not verify") from error
    raise ReceiptError(f"algorithm {algorithm[:20]!r} does not fit the certificate's key")


@lru_cache(maxsize=64)
def _canonical_head(algorithm: str, chain_der: tuple[bytes, ...]) -> bytes:
    """What all records of one signer begin with; kept, because a signer makes many."""
    chain = [base64.b64encode(der).decode() for der in chain_der]
    return canonical_json({"algorithm": algorithm, "chain": chain})[:-1]


def now_utc() -> str:
    """The current time, RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _signed_bytes(record: Record) -> bytes:
    return _SIGNATURE_CONTEXT + record.canonical


def _public_key(certificate_der: bytes) -> CertificatePublicKeyTypes:
    """The certificate's key; ReceiptError where the certificate is damaged, or its key of a kind that is not known."""
    try:
        return x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ReceiptError(f"certificate cannot be used: {error}") from error


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError("canonical JSON holds no floats")
    if isinstance(value, dict):
        for part in value.values():
            _refuse_floats(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_floats(part)
