"""Signed notes and log checkpoints: c2sp.org/signed-note, /tlog-checkpoint and /tlog-cosignature.

A *note* is text with signature lines. A *checkpoint* is a note whose text is a log's origin, size and root.
A *verifier key* (vkey) is written ``NAME+KEYID+BASE64``; only Ed25519 is spoken here, as a log's own
signature (type 1) or a witness's timestamped cosignature (type 4).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provenance.errors import ReceiptError, TamperedError, UsageError
from provenance.ledger import merkle

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
MAX_NAME_CHARS = 255
TYPE_ED25519 = 0x01
TYPE_COSIGNATURE = 0x04
_SIGNATURE_PREFIX = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class VerifierKey:
    """The public half of a key that signs notes.

    Attributes:
        name: what the signature line calls the key; a log's origin, a witness's name.
        public: 32 bytes, Ed25519.
        kind: :data:`TYPE_ED25519` or :data:`TYPE_COSIGNATURE`.
    """

    name: str
    public: bytes
    kind: int = TYPE_ED25519

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != 32 or self.kind not in (TYPE_ED25519, TYPE_COSIGNATURE):
            raise UsageError(f"key {self.name[:80]!r} is neither an Ed25519 log key nor a witness key")

    @property
    def key_id(self) -> bytes:
        """4 bytes: ``SHA-256(name || 0x0A || type || public key)[:4]``."""
        encoded = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(encoded).digest()[:4]

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read the ``NAME+KEYID+BASE64`` form.

        Raises:
            UsageError: not a verifier key, of another kind, or its id does not fit.
        """
        parts = vkey.strip().split("+", 2)
        try:
            if len(parts) != 3 or len(vkey) > 1024:
                raise ValueError("expected NAME+KEYID+BASE64")
            material = base64.b64decode(parts[2], validate=True)
            key = cls(parts[0], material[1:], material[0] if material else -1)
            if bytes.fromhex(parts[1]) != key.key_id:
                raise ValueError("the key id does not fit name and key")
        except (ValueError, binascii.Error) as error:
            raise UsageError(
                f"not a verifier key: {vkey[:80]!r}: {error}",
                hint="a verifier key looks like example.org/log+1234abcd+AQID...",
            ) from error
        return key

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check one signature over a note's text; the POSIX time it states for a cosignature, else None.

        Raises:
            TamperedError: the signature is wrong.
        """
        stamp: int | None = None
        message = text.encode()
        if self.kind == TYPE_COSIGNATURE:
            stamp, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = _cosigned_message(stamp, text)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature as error:
            raise TamperedError(f"the signature of {self.name} does not verify") from error
        return stamp


@dataclass(frozen=True)
class SigningKey:
    """A named Ed25519 private key."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)
    kind: int = TYPE_ED25519

    @classmethod
    def generate(cls, name: str, kind: int = TYPE_ED25519) -> SigningKey:
        return cls(check_name(name), Ed25519PrivateKey.generate(), kind)

    @cached_property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw(), self.kind)

    def sign(self, text: str) -> Signature:
        """The log's own signature over a note's text."""
        return Signature(self.name, self.verifier.key_id, self.private.sign(text.encode()))

    def cosign(self, text: str, timestamp: int) -> Signature:
        """A witness's ``cosignature/v1`` at ``timestamp`` (POSIX seconds); the key's kind must be type 4."""
        if self.kind != TYPE_COSIGNATURE:
            raise UsageError(f"{self.name} is not a witness key")
        raw = self.private.sign(_cosigned_message(timestamp, text))
        return Signature(self.name, self.verifier.key_id, timestamp.to_bytes(8, "big") + raw)


@dataclass(frozen=True)
class Signature:
    """One signature line: key name, 4-byte key id, signature bytes."""

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"{_SIGNATURE_PREFIX}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"

    @classmethod
    def parse(cls, line: str) -> Signature:
        name, _, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
        if not line.startswith(_SIGNATURE_PREFIX) or not name or not encoded:
            raise ReceiptError(f"malformed signature line {line[:60]!r}")
        raw = decode_base64(encoded)
        if len(raw) < 5:
            raise ReceiptError(f"signature of {name[:60]!r} is too short")
        return cls(name, raw[:4], raw[4:])


@dataclass(frozen=True)
class Note:
    """Signed text; ``text`` ends in a newline. Nothing in it is to be believed before :meth:`verify`."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, data: str | bytes) -> Note:
        """Read a note.

        Raises:
            ReceiptError: too large, not UTF-8, control characters, or no signature.
        """
        if len(data) > MAX_NOTE_BYTES:
            raise ReceiptError(f"a note of {len(data)} bytes is over the limit of {MAX_NOTE_BYTES}")
        try:
            whole = data.decode() if isinstance(data, bytes) else data
        except UnicodeDecodeError as error:
            raise ReceiptError("a note must be UTF-8") from error
        if _CONTROL.search(whole):
            raise ReceiptError("a note must not contain control characters")
        text, separator, tail = whole.rpartition("\n\n")
        if not separator or not tail.endswith("\n"):
            raise ReceiptError("a note needs text, an empty line, and signature lines")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise ReceiptError(f"a note with {len(lines)} signatures is over the limit of {MAX_SIGNATURES}")
        return cls(text + "\n", tuple(Signature.parse(line) for line in lines))

    def verify(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, int | None]:
        """Check the signatures of known keys and ignore all others, as c2sp.org/signed-note asks.

        Returns:
            each key whose signature is good, with the time it states (cosignatures) or None.

        Raises:
            TamperedError: a known key's signature is wrong.
        """
        known = {(key.name, key.key_id): key for key in keys}
        verified: dict[VerifierKey, int | None] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                verified[key] = key.verify(self.text, signature.value)
        return verified

    def with_signatures(self, added: Iterable[Signature]) -> Note:
        """This note with further signatures; one by the same key is replaced."""
        fresh = {(signature.name, signature.key_id): signature for signature in added}
        kept = tuple(s for s in self.signatures if (s.name, s.key_id) not in fresh)
        return Note(self.text, kept + tuple(fresh.values()))


@dataclass(frozen=True)
class Checkpoint:
    """A log's state: how many leaves, and the root over them.

    Attributes:
        origin: the log's unique name.
        size: number of leaves.
        root: RFC 9162 root over them, 32 bytes.
        extensions: opaque further lines.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text: what is signed."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint's text.

        Raises:
            ReceiptError: malformed.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or not all(lines):
            raise ReceiptError("a checkpoint needs origin, size and root lines, none empty")
        return cls(lines[0], parse_decimal(lines[1], "tree size"), decode_hash(lines[2]), tuple(lines[3:]))

    def sign(self, key: SigningKey) -> Note:
        return Note(self.text, (key.sign(self.text),))


def check_name(name: str) -> str:
    """A key or origin name: not empty, no space, plus sign or control character.

    Raises:
        UsageError: it is not.
    """
    bad = not name or len(name) > MAX_NAME_CHARS or "+" in name or any(c.isspace() or c < " " for c in name)
    if bad:
        raise UsageError(
            f"{name[:80]!r} cannot name a log or witness",
            hint="use something like example.org/log: no spaces, no plus sign, at most 255 characters",
        )
    return name


def parse_decimal(text: str, what: str) -> int:
    """ASCII decimal without leading zeroes, below 2**63; ReceiptError otherwise."""
    if not _DECIMAL.fullmatch(text) or int(text) > merkle.MAX_SIZE:
        raise ReceiptError(f"{what} {text[:24]!r} is not a plain decimal number")
    return int(text)


def decode_base64(text: str) -> bytes:
    """Strict standard base64: the canonical encoding only; ReceiptError otherwise."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise ReceiptError(f"malformed base64 {text[:24]!r}") from error
    if base64.b64encode(raw).decode() != text:
        raise ReceiptError(f"non-canonical base64 {text[:24]!r}")
    return raw


def decode_hash(text: str) -> bytes:
    """A base64 SHA-256 hash; ReceiptError otherwise."""
    raw = decode_base64(text)
    if len(raw) != merkle.HASH_BYTES:
        raise ReceiptError(f"a hash of {len(raw)} bytes where {merkle.HASH_BYTES} were expected")
    return raw


def _cosigned_message(timestamp: int, text: str) -> bytes:
    """What a witness signs, c2sp.org/tlog-cosignature."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
