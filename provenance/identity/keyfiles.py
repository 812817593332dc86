"""Private keys on disk: written for nobody else to read, encrypted where asked, refused when open to others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provenance.errors import IdentityError, NotWritableError
from provenance.identity import certificates
from provenance.identity.certificates import PrivateKey
from provenance.media import files as atomic

MIN_PASSPHRASE = 8
_MAX_FILE_BYTES = 1024 * 1024


def store_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a 0700 folder of 0600 files under a temporary name, then rename it into place.

    Raises:
        IdentityError: the folder exists.
        NotWritableError: it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        try:
            for file, content in files.items():
                atomic.write_bytes(temporary / file, content, mode=0o600)
            if folder.exists():
                raise IdentityError(f"{folder} already exists", hint="choose another name")
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise NotWritableError(f"cannot write {folder}: {error.strerror or error}") from error


def read_private(path: Path) -> bytes:
    """Read a file that nobody else may read.

    Raises:
        IdentityError: missing, too large, or readable or writable for group or others.
    """
    try:
        status = path.stat()
        if os.name == "posix" and status.st_mode & 0o077:
            raise IdentityError(
                f"{path} is open to others (mode {status.st_mode & 0o777:04o}, expected 0600)",
                hint=f"run `chmod 600 {path}`; if others could read it, make a new identity",
            )
        if status.st_size > _MAX_FILE_BYTES:
            raise IdentityError(f"{path} has {status.st_size} bytes, over the limit of {_MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise IdentityError(f"cannot read {path}: {error.strerror or error}") from error


def encode_key(key: PrivateKey | x25519.X25519PrivateKey, passphrase: str | None) -> bytes:
    """PKCS#8 PEM, encrypted (PBES2) where there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def decode_key(pem: bytes, passphrase: str | None, *, what: str) -> PrivateKey:
    """A private key that signs, from PEM; IdentityError as :func:`open_pem` raises it, and for other kinds."""
    key = open_pem(pem, passphrase, what=what)
    certificates.algorithm_of(key)
    return cast(PrivateKey, key)


def open_pem(pem: bytes, passphrase: str | None, *, what: str) -> Any:
    """A private key of any kind from PEM; IdentityError says whether the passphrase is missing or wrong."""
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise IdentityError(
            f"the key of {what} is protected by a passphrase",
            hint="set VEILMARK_PASSPHRASE or answer the prompt",
        )
    try:
        return serialization.load_pem_private_key(
            pem, passphrase.encode() if encrypted and passphrase else None
        )
    except (ValueError, TypeError) as error:
        problem = "the passphrase is wrong" if encrypted else "the key file is damaged"
        raise IdentityError(
            f"cannot open the key of {what}: {problem}",
            hint="try again" if encrypted else "restore it from a backup",
        ) from error
    except Exception as error:
        raise IdentityError(f"cannot use the key of {what}: {error}") from error


def key_signer(key: PrivateKey) -> Callable[[bytes], bytes]:
    """A function that signs with ``key`` in raw form."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    size = (key.curve.key_size + 7) // 8
    digest = hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def check_passphrase(passphrase: str | None) -> None:
    """IdentityError for a passphrase that protects nothing."""
    if passphrase is not None and len(passphrase) < MIN_PASSPHRASE:
        raise IdentityError(
            f"the passphrase has {len(passphrase)} characters, at least {MIN_PASSPHRASE} are needed",
            hint="use a few words, or leave it out to store the key unencrypted",
        )
