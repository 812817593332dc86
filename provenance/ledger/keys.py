"""The log's signing key: Ed25519, in a file only its owner can read, encrypted if there is a passphrase."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance.errors import IdentityError
from provenance.ledger.note import SigningKey
from provenance.media.files import write_bytes

_MAX_KEY_BYTES = 16 * 1024


def key_path(ledger: Path) -> Path:
    """The key lies beside the database, so that a backup of the one is not a backup of the other."""
    return ledger.with_name(ledger.name + ".key")


def save_key(path: Path, key: SigningKey, passphrase: str | None = None) -> None:
    """Write the key as PKCS#8 PEM, mode 0600; never over an existing one."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    write_bytes(path, pem, force=False, mode=0o600)


def load_key(path: Path, name: str, passphrase: str | None = None) -> SigningKey:
    """Read the key; ``name`` is the log's origin.

    Raises:
        IdentityError: missing, readable by others, wrong passphrase, or not an Ed25519 key.
    """
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()[:_MAX_KEY_BYTES]
    except OSError as error:
        raise IdentityError(
            f"the log's key {path} cannot be read: {error.strerror or error}",
            hint="without its key the log can be read but not extended; restore the key from your backup",
        ) from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise IdentityError(
            f"the log's key {path} can be read by others (mode {stat.S_IMODE(mode):o})",
            hint=f"chmod 600 {path}",
        )
    try:
        private = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError as error:
        if passphrase:  # the file is not encrypted: nothing to decrypt
            return load_key(path, name)
        raise IdentityError(
            f"the log's key {path} is protected by a passphrase", hint="give it in VEILMARK_PASSPHRASE"
        ) from error
    except ValueError as error:
        raise IdentityError(
            f"the log's key {path} cannot be used: wrong passphrase, or damaged",
            hint="try the passphrase again",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise IdentityError(
            f"the log's key {path} is not an Ed25519 key", hint="restore the key from your backup"
        )
    return SigningKey(name, private)
