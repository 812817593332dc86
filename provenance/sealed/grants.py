"""Grants: a sealed original's key, wrapped for one reader, and signed by who granted it.

The wrapping is HPKE in base mode (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, single-shot; its
``info`` names the sealed object, the reader, and the key that signed the cloaked file, so that a grant opens nothing
else. A grant is an object of its own, so that a later one changes no manifest. It is canonical JSON::

    type        "veilmark.grant/1"
    sealed      CID of the sealed object
    cloaked_by  key id of who signed the cloaked file
    recipient   key id of the reader's encryption key (hex SHA-256 of its SubjectPublicKeyInfo)
    suite       the HPKE suite
    enc         HPKE's encapsulated key, base64, 32 bytes
    ciphertext  the wrapped content key, base64, 48 bytes
    time        when it was granted, RFC 3339 UTC, by the granter's clock
    granter     the granter's claimed name
    algorithm, chain, signature     of the granter's signing identity

The signature says who granted. Whether the key is the right one is proved by what it opens. ``cloaked_by`` is there
because anybody can sign a file of their own that names a stranger's sealed original, and ask its owner to grant them
that file.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from provenance import strict_json
from provenance.errors import IdentityError, MissingPathError, ReceiptError, StoreError, TamperedError
from provenance.identity.certificates import printable
from provenance.identity.identity import Identity
from provenance.record import canonical_json, key_id_of, now_utc, verify_signature
from provenance.sealed.envelope import KEY_BYTES
from provenance.sealed.keys import EncryptionKey
from provenance.store.cid import Cid

GRANT_TYPE = "veilmark.grant/1"
SUITE = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"
MAX_GRANT_BYTES = 64 * 1024
MAX_GRANTS = 1000
_ENC_BYTES, _CIPHERTEXT_BYTES = 32, KEY_BYTES + 16
_INFO = b"veilmark grant v1\x00"
_SIGNATURE_CONTEXT = b"veilmark grant signature v1\x00"
_TEXTS = (
    "type",
    "sealed",
    "cloaked_by",
    "recipient",
    "suite",
    "enc",
    "ciphertext",
    "time",
    "granter",
    "algorithm",
)
_FIELDS = frozenset((*_TEXTS, "chain"))


@dataclass(frozen=True)
class Grant:
    """One reader's access to one sealed original; see the module. Made by :func:`make_grant` and :meth:`parse`."""

    sealed: str
    cloaked_by: str
    recipient: str
    enc: bytes
    ciphertext: bytes
    granter: str
    granter_key_id: str
    time: str
    data: bytes = field(repr=False)

    def unwrap(self, private: X25519PrivateKey) -> bytes:
        """The content key, 32 bytes.

        Raises:
            IdentityError: the grant is for another key.
            TamperedError: the wrapped key does not open.
        """
        own = EncryptionKey.of(private).key_id
        if own != self.recipient:
            raise IdentityError(
                f"the grant is for the key {self.recipient[:16]}, not for {own[:16]}",
                hint="give the key that it was made for, or ask for a grant to yours",
            )
        try:
            key = _suite().decrypt(
                self.enc + self.ciphertext, private, _info(self.sealed, self.cloaked_by, self.recipient)
            )
        except (InvalidTag, ValueError) as error:
            raise TamperedError(
                "the wrapped key in the grant does not open: it was altered, or made for something else",
                hint="ask for a fresh grant",
            ) from error
        if len(key) != KEY_BYTES:
            raise TamperedError(f"the grant wraps {len(key)} bytes; a key has {KEY_BYTES}")
        return key

    @classmethod
    def parse(cls, data: bytes) -> Grant:
        """Read a grant and check its signature.

        Raises:
            ReceiptError: too large, or no grant.
            TamperedError: it was altered after it was signed.
        """
        if len(data) > MAX_GRANT_BYTES:
            raise ReceiptError(f"a grant of {len(data)} bytes is over the limit of {MAX_GRANT_BYTES}")
        try:
            body: dict[str, Any] = strict_json.loads(data)
            signature = _base64(body.pop("signature"))
            if set(body) != _FIELDS or body["type"] != GRANT_TYPE or body["suite"] != SUITE:
                raise ValueError("unknown type, suite or fields")
            if not all(isinstance(body[name], str) and len(body[name]) <= 400 for name in _TEXTS):
                raise ValueError("a field is no short text")
            chain = [_base64(one) for one in body["chain"]]
            enc, ciphertext = _base64(body["enc"]), _base64(body["ciphertext"])
            if not chain or (len(enc), len(ciphertext)) != (_ENC_BYTES, _CIPHERTEXT_BYTES):
                raise ValueError("no certificate, or a wrapped key of another size")
            Cid.parse(body["sealed"])
            signed = _SIGNATURE_CONTEXT + canonical_json(body)
            key_id = key_id_of(chain[0])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError) as error:
            raise ReceiptError(
                f"not a grant: {printable(str(error), 120)}",
                hint="`veilmark grant FILE --to KEY -o` writes one",
            ) from error
        try:
            verify_signature(chain[0], body["algorithm"], signature, signed)
        except TamperedError as error:
            raise TamperedError(
                "the grant was altered: its signature does not verify", hint="ask for a fresh grant"
            ) from error
        return cls(
            sealed=body["sealed"],
            cloaked_by=body["cloaked_by"],
            recipient=body["recipient"],
            enc=enc,
            ciphertext=ciphertext,
            granter=printable(body["granter"], 200),
            granter_key_id=key_id,
            time=printable(body["time"], 40),
            data=data,
        )


def make_grant(
    sealed: str, content_key: bytes, recipient: EncryptionKey, granter: Identity, *, cloaked_by: str
) -> Grant:
    """Wrap the content key of the sealed object ``sealed`` for one reader.

    Args:
        cloaked_by: key id of who signs, or signed, the cloaked file.

    Raises:
        IdentityError: the reader's key is unusable, or the granter cannot sign.
    """
    try:
        wrapped = _suite().encrypt(content_key, recipient.public, _info(sealed, cloaked_by, recipient.key_id))
    except ValueError as error:
        raise IdentityError(
            f"{recipient} cannot be encrypted for", hint="ask its owner for the key once more"
        ) from error
    body: dict[str, Any] = {
        "type": GRANT_TYPE,
        "sealed": sealed,
        "cloaked_by": cloaked_by,
        "recipient": recipient.key_id,
        "suite": SUITE,
        "enc": base64.b64encode(wrapped[:_ENC_BYTES]).decode(),
        "ciphertext": base64.b64encode(wrapped[_ENC_BYTES:]).decode(),
        "time": now_utc(),
        "granter": granter.claimed_name,
        "algorithm": granter.algorithm,
        "chain": [base64.b64encode(der).decode() for der in granter.chain_der],
    }
    signature = granter.sign(_SIGNATURE_CONTEXT + canonical_json(body))
    return Grant.parse(canonical_json({**body, "signature": base64.b64encode(signature).decode()}))


def read_grants(path: Path) -> list[Grant]:
    """The grants in a file, one a line.

    Raises:
        MissingPathError: no such file.
        ReceiptError, TamperedError: as :meth:`Grant.parse`.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_GRANT_BYTES * 16 + 1)
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(data) > MAX_GRANT_BYTES * 16 or not 0 < len(lines) <= MAX_GRANTS:
        raise ReceiptError(
            f"{path} holds no grants, or too many", hint="`veilmark grant FILE --to KEY -o` writes one"
        )
    return [Grant.parse(line) for line in lines]


def grants_text(grants: Iterable[Grant]) -> bytes:
    """The file that :func:`read_grants` reads."""
    return b"".join(grant.data + b"\n" for grant in grants)


def content_key(
    grants: Iterable[Grant], private: Callable[[str], X25519PrivateKey], works: Callable[[bytes], bool]
) -> bytes | None:
    """The first key that a grant yields and that opens the sealed object; None where none does.

    Anybody can sign a grant with a wrong key in it, so one that opens nothing must not be in the way of the right one.

    Raises:
        TamperedError: no grant was left, and one did not unwrap.
    """
    broken: TamperedError | None = None
    for grant in grants:
        try:
            key = grant.unwrap(private(grant.recipient))
        except TamperedError as error:
            broken = error
            continue
        if works(key):
            return key
    if broken is not None:
        raise broken
    return None


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(sealed: str, cloaked_by: str, recipient: str) -> bytes:
    return _INFO + canonical_json({"cloaked_by": cloaked_by, "recipient": recipient, "sealed": sealed})


def _base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("no base64 text")
    return base64.b64decode(text, validate=True)
