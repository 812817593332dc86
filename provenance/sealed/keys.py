"""Encryption keys: who can open a sealed original. They are other keys than those that sign.

X25519 (RFC 7748). Beside an identity's signing key, 0600::

    identities/NAME/encryption.key   PKCS#8 PEM, under the passphrase of the signing key where that has one
    identities/NAME/encryption.pub   the public half, one line, to give to others

The public line is ``veilmark-x25519:`` and 48 characters of base64url: the key's 32 bytes and the first four of
their SHA-256, so that a mistyped key is detected: any 32 bytes are a valid key.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from provenance.errors import IdentityError, MissingPathError, OutputExistsError, UsageError
from provenance.home import Home
from provenance.identity.identity import default_name, identity_folder, list_names
from provenance.identity.keyfiles import check_passphrase, decode_key, encode_key, open_pem, read_private
from provenance.media import files

PREFIX = "veilmark-x25519:"
KEY_FILE, PUBLIC_FILE = "encryption.key", "encryption.pub"
MAX_RECIPIENTS = 1000
_RAW_BYTES, _CHECK_BYTES = 32, 4
_MAX_FILE_BYTES = 256 * 1024
_SHOWN = "`veilmark identity show --encryption-key` prints one"


@dataclass(frozen=True)
class EncryptionKey:
    """The public half of an encryption key; ``raw`` are its 32 bytes (RFC 7748, section 5)."""

    raw: bytes

    @property
    def public(self) -> X25519PublicKey:
        return X25519PublicKey.from_public_bytes(self.raw)

    @property
    def key_id(self) -> str:
        """Hex SHA-256 of the key's SubjectPublicKeyInfo."""
        spki = self.public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).hexdigest()

    def __str__(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(self.raw + _check(self.raw)).decode()

    @classmethod
    def parse(cls, text: str) -> EncryptionKey:
        """Read the public line; IdentityError where it is none, or has a typing error."""
        try:
            if not text.startswith(PREFIX):
                raise ValueError("it does not begin with " + PREFIX)
            data = base64.b64decode(text.removeprefix(PREFIX), altchars=b"-_", validate=True)
            if len(data) != _RAW_BYTES + _CHECK_BYTES:
                raise ValueError(f"{len(data)} bytes where {_RAW_BYTES + _CHECK_BYTES} were expected")
            if data[_RAW_BYTES:] != _check(data[:_RAW_BYTES]):
                raise ValueError("its check bytes do not fit; is it typed right?")
        except (ValueError, binascii.Error) as error:
            raise IdentityError(f"{text[:80]!r} is no encryption key: {error}", hint=_SHOWN) from error
        return cls(data[:_RAW_BYTES])

    @classmethod
    def of(cls, private: X25519PrivateKey) -> EncryptionKey:
        return cls(private.public_key().public_bytes_raw())


def read_recipients(text: str) -> list[EncryptionKey]:
    """The keys that an option names: a public line, or a file with one a line (``#`` begins a comment).

    Raises:
        IdentityError: neither a key nor a file with keys.
        MissingPathError: no such file.
    """
    if text.startswith(PREFIX):
        return [EncryptionKey.parse(text)]
    path = Path(text)
    if not files.is_file(path):
        raise MissingPathError(
            f"{text[:200]!r} is neither an encryption key nor a file with one", hint=_SHOWN
        )
    try:
        data = files.read_limited(path, _MAX_FILE_BYTES) or b""
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    keys = [EncryptionKey.parse(line) for line in lines if line and not line.startswith("#")]
    if not 0 < len(keys) <= MAX_RECIPIENTS:
        raise IdentityError(
            f"{path} holds {len(keys)} encryption keys; 1 to {MAX_RECIPIENTS} are read", hint=_SHOWN
        )
    return keys


def readers_for(
    home: Home,
    identity: str | None,
    named: Sequence[str],
    unlock: Callable[[], str | None],
    *,
    reversible: bool,
    sign: bool,
) -> list[EncryptionKey] | None:
    """Whose keys will open a sealed original: the owner's, and those that were named; None without ``reversible``.

    Raises:
        UsageError: readers without a sealed original, or a sealed original without a manifest to name it.
        IdentityError, MissingPathError: a key that is none.
    """
    if not reversible:
        if named:
            raise UsageError("--for names who can restore the original", hint="add --reversible")
        return None
    if not sign:
        raise UsageError(
            "--reversible needs a signed result: its manifest names the sealed original",
            hint="leave out --no-sign",
        )
    keys = [ensure_encryption_key(home, identity or default_name(home), unlock)]
    return keys + [key for text in named for key in read_recipients(text)]


def ensure_encryption_key(home: Home, name: str, unlock: Callable[[], str | None]) -> EncryptionKey:
    """The public encryption key of an identity; where there is none yet, it is made.

    Args:
        unlock: asked for the signing key's passphrase where it is needed; that protects the new key too, unless the
            signing key lies unprotected.

    Raises:
        IdentityError: no such identity, or its key is damaged, or must be unlocked and is not.
        NotWritableError: the folder cannot be written.
    """
    folder = identity_folder(home, name)
    if not (folder / "identity.json").is_file():
        raise IdentityError(f"there is no identity {name!r}", hint="see `veilmark identity list`")
    private, known = folder / KEY_FILE, published_key(home, name)
    if private.is_file() and known is not None:
        return known
    passphrase = unlock()
    if not private.is_file():
        secret = _protection(folder, passphrase, name)
        with contextlib.suppress(OutputExistsError):  # somebody else was first
            fresh = encode_key(X25519PrivateKey.generate(), secret)
            files.write_bytes(private, fresh, force=False, mode=0o600)
    key = EncryptionKey.of(load_encryption_key(home, name, passphrase))
    files.write_bytes(folder / PUBLIC_FILE, f"{key}\n".encode(), mode=0o600)
    return key


def published_key(home: Home, name: str) -> EncryptionKey | None:
    """The public encryption key of an identity, or None where there is none yet; IdentityError for a damaged file."""
    file = identity_folder(home, name) / PUBLIC_FILE
    if not file.is_file():
        return None
    return EncryptionKey.parse(read_private(file).decode("ascii", "replace").strip())


def load_encryption_key(home: Home, name: str, passphrase: str | None) -> X25519PrivateKey:
    """The private encryption key of an identity; IdentityError where there is none or it cannot be opened."""
    return open_key_file(identity_folder(home, name) / KEY_FILE, passphrase, what=f"identity {name!r}")


def open_key_file(path: Path, passphrase: str | None, *, what: str = "") -> X25519PrivateKey:
    """A private encryption key (PKCS#8 PEM) from a file that nobody else may read.

    Raises:
        IdentityError: missing, open to others, another kind of key, or a missing or wrong passphrase.
    """
    key = open_pem(read_private(path), passphrase, what=what or str(path))
    if not isinstance(key, X25519PrivateKey):
        raise IdentityError(
            f"{path} holds a key of another kind, not one for encryption (X25519)",
            hint=f"an identity's is {KEY_FILE} in its folder",
        )
    return key


@dataclass(frozen=True)
class Keyring:
    """The available private keys: which there are, and how to unlock one."""

    ids: frozenset[str]
    _unlock: Callable[[str], X25519PrivateKey]

    def private(self, key_id: str) -> X25519PrivateKey:
        """Unlock one of :attr:`ids`; IdentityError where that fails."""
        return self._unlock(key_id)

    @classmethod
    def of_file(cls, path: Path, passphrase: str | None) -> Keyring:
        key = open_key_file(path, passphrase)
        return cls(frozenset({EncryptionKey.of(key).key_id}), lambda _: key)

    @classmethod
    def of_home(cls, home: Home, identity: str | None, passphrase: Callable[[str], str | None]) -> Keyring:
        """The keys of one identity, or of all that are here.

        Args:
            passphrase: asked for an identity's name when its key must be unlocked.

        Raises:
            NotInitializedError: there is no identity here.
            IdentityError: the identity that was named has no encryption key.
        """
        names = [identity] if identity else list_names(home) or [default_name(home)]
        known: dict[str, str] = {}
        for name in names:
            key = published_key(home, name)
            if key is not None:
                known[key.key_id] = name
            elif identity:
                raise IdentityError(
                    f"identity {name!r} has no encryption key",
                    hint=f"`veilmark identity show {name} --encryption-key` makes one",
                )

        @functools.cache  # a passphrase is asked for once
        def unlock(key_id: str) -> X25519PrivateKey:
            return load_encryption_key(home, known[key_id], passphrase(known[key_id]))

        return cls(frozenset(known), unlock)


def _protection(folder: Path, passphrase: str | None, name: str) -> str | None:
    """The passphrase for a new key: the signing key's, or none; where that key lies elsewhere, what was given."""
    signing = folder / "leaf.key"
    if not signing.is_file():
        check_passphrase(passphrase)
        return passphrase
    pem = read_private(signing)
    decode_key(pem, passphrase, what=f"identity {name!r}")  # a mistyped passphrase must not lock the new key
    return passphrase if b"ENCRYPTED" in pem else None


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:_CHECK_BYTES]
