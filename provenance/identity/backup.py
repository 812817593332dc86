"""All identities, their roots and the trust store in one encrypted file (AES-256-GCM under a key from scrypt)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path, PurePosixPath

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from provenance import strict_json
from provenance.errors import IdentityError, MissingPathError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.keyfiles import check_passphrase
from provenance.media import files as atomic

_BACKUP_MAGIC = b"veilmark backup 1\n"
_MAX_BACKUP_BYTES = 256 * 1024 * 1024
_SALT_BYTES, _NONCE_BYTES = 16, 12
#: RFC 7914; about 0.1 s and 64 MB here.
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}


def backup_identities(home: Home, path: Path, *, passphrase: str, force: bool = False) -> int:
    """Write all identities, their roots and the trust store to one encrypted file; returns how many files.

    AES-256-GCM under a key from scrypt. The ledger is not in it: it has its own export.

    Raises:
        IdentityError: no passphrase worth the name.
        OutputExistsError, NotWritableError: ``path`` exists, or cannot be written.
    """
    check_passphrase(passphrase or "")
    contents: dict[str, str] = {}
    for prefix, folder in _backed_up(home).items():
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file() and not file.name.startswith("."):
                inside = PurePosixPath(prefix, *file.relative_to(folder).parts)
                contents[str(inside)] = base64.b64encode(file.read_bytes()).decode()
    if not contents:
        raise IdentityError(f"there is nothing to back up in {home.data}", hint="run `veilmark init` first")
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_backup_key(passphrase, salt)).encrypt(
        nonce, json.dumps(contents).encode(), _BACKUP_MAGIC
    )
    atomic.write_bytes(path, _BACKUP_MAGIC + salt + nonce + sealed, force=force, mode=0o600)
    return len(contents)


def restore_identities(path: Path, home: Home, *, passphrase: str, force: bool = False) -> int:
    """Bring back what :func:`backup_identities` wrote; returns how many files were written.

    Files that are there with the same content are left alone.

    Raises:
        MissingPathError: no such file.
        IdentityError: not a backup, a wrong passphrase, or (without ``force``) a file that differs.
    """
    contents = _open_backup(path, passphrase)
    targets: dict[Path, bytes] = {}
    for name, text in contents.items():
        parts = PurePosixPath(name).parts
        folder = _backed_up(home).get(parts[0]) if len(parts) > 1 else None
        if folder is None or ".." in parts or any("/" in part or "\\" in part for part in parts):
            raise IdentityError(
                f"the backup holds a file with a strange name: {certificates.printable(name, 80)!r}"
            )
        targets[folder.joinpath(*parts[1:])] = base64.b64decode(text)
    changed = {file: data for file, data in targets.items() if not _holds(file, data)}
    taken = [file for file in changed if file.exists()]
    if taken and not force:
        raise IdentityError(
            f"{taken[0]} is there and differs from the backup ({len(taken)} such files)",
            hint="add --force to replace what is there",
        )
    for file, data in changed.items():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_bytes(file, data, mode=0o600)
    return len(changed)


def _backed_up(home: Home) -> dict[str, Path]:
    return {
        "identities": home.identities,
        "requests": home.data / "requests",
        "roots": home.data / "roots",
        "trust": home.trust,
    }


def _open_backup(path: Path, passphrase: str) -> dict[str, str]:
    try:
        data = atomic.read_limited(path, _MAX_BACKUP_BYTES) or b""
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    if not data.startswith(_BACKUP_MAGIC):
        raise IdentityError(f"{path} is no veilmark backup")
    body = data[len(_BACKUP_MAGIC) :]
    salt, nonce = body[:_SALT_BYTES], body[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    try:
        sealed = body[_SALT_BYTES + _NONCE_BYTES :]
        plain = AESGCM(_backup_key(passphrase, salt)).decrypt(nonce, sealed, _BACKUP_MAGIC)
        contents = strict_json.loads(plain)
    except (InvalidTag, ValueError) as error:
        raise IdentityError(f"{path} cannot be opened: wrong passphrase, or damaged") from error
    return {str(name): str(text) for name, text in contents.items()}


def _backup_key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode())


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:
        return False
