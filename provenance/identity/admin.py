"""Keep identities over the years: bring one's own certificate, move, rotate, back up."""

from __future__ import annotations

import base64
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from provenance.errors import IdentityError, MissingPathError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificate_faults import find_faults
from provenance.identity.external import external_signer
from provenance.identity.identity import (
    Identity,
    identity_folder,
    load_identity,
    load_root,
    root_folder,
    store_identity,
)
from provenance.identity.keyfiles import check_passphrase, decode_key, encode_key, read_private, store_folder
from provenance.media import files as atomic

_BACKUP_MAGIC = b"veilmark backup 1\n"
_MAX_BACKUP_BYTES = 256 * 1024 * 1024
_SALT_BYTES, _NONCE_BYTES = 16, 12
#: RFC 7914; about 0.1 s and 64 MB here.
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}


@dataclass(frozen=True)
class Rotation:
    """What :func:`rotate_identity` did."""

    identity: Identity
    retired_key_id: str
    retired_certificate: Path


def import_identity(
    home: Home,
    name: str,
    *,
    chain_pem: bytes | str,
    key_pem: bytes,
    key_passphrase: str | None = None,
    passphrase: str | None = None,
) -> Identity:
    """Take over a key and a bought or self-issued certificate.

    Args:
        chain_pem: the certificate and its issuers, in any order.
        key_passphrase: opens ``key_pem`` where that is encrypted.
        passphrase: encrypts the key here.

    Raises:
        IdentityError: the certificate fails a C2PA requirement (the message says which and how to make a good
            one), key and certificate do not belong together, or the name is taken.
    """
    check_passphrase(passphrase)
    chain = fit_chain(chain_pem)
    key = decode_key(key_pem, key_passphrase, what="the file")
    if _spki(key.public_key()) != _spki(chain[0].public_key()):
        raise IdentityError(
            "the key is not the one that the certificate is for",
            hint="the certificate must be issued for this key's certificate request",
        )
    store_identity(
        home,
        name,
        kind="imported",
        algorithm=certificates.algorithm_of(key),
        chain=chain,
        files={"leaf.key": encode_key(key, passphrase)},
    )
    return load_identity(home, name, passphrase)


def import_external(home: Home, name: str, *, chain_pem: bytes | str, command: Sequence[str]) -> Identity:
    """Take over a certificate whose key is reached through a signer program (see :mod:`provenance.identity.external`).

    A trial signature is made at once, so that a wrong key or PIN is found here and not at the next capture.

    Raises:
        IdentityError: as for :func:`import_identity`, or the trial signature failed.
    """
    chain = fit_chain(chain_pem)
    return _store_external(home, name, chain, command)


def certify_external(
    home: Home,
    name: str,
    *,
    subject: str,
    public_key_pem: bytes,
    command: Sequence[str],
    passphrase: str | None = None,
) -> Identity:
    """Make a root here and let it certify a key that lives elsewhere, given by its public half (PEM or DER).

    Raises:
        IdentityError: the public key is unusable, the trial signature failed, or the name is taken.
    """
    check_passphrase(passphrase)
    try:
        if b"-----BEGIN" in public_key_pem:
            public: Any = serialization.load_pem_public_key(public_key_pem)
        else:
            public = serialization.load_der_public_key(public_key_pem)
    except ValueError as error:
        raise IdentityError(
            "no public key could be read", hint="expected SubjectPublicKeyInfo, PEM or DER"
        ) from error
    algorithm = certificates.algorithm_of(public)
    root_key = certificates.generate_key(algorithm)
    root = certificates.make_root(root_key, subject)
    leaf = certificates.make_leaf(root, root_key, public, subject)
    identity = _store_external(home, name, [leaf, root], command)
    files = {"root.key": encode_key(root_key, passphrase), "root.pem": certificates.to_pem([root]).encode()}
    store_folder(root_folder(home, name), files)
    return identity


def export_identity(home: Home, name: str, *, passphrase: str | None, export_passphrase: str | None) -> bytes:
    """Certificates and key as one PEM text, for other C2PA tools.

    Args:
        passphrase: opens the key here.
        export_passphrase: encrypts the key in the export; None leaves it readable for anyone who gets the file.

    Raises:
        IdentityError: the key is in another program's keeping, or the passphrase is wrong.
    """
    check_passphrase(export_passphrase)
    identity = load_identity(home, name, passphrase)
    if identity.kind == "external":
        raise IdentityError(f"the key of {name!r} is kept by its signer program and cannot be exported")
    key = decode_key(read_private(identity_folder(home, name) / "leaf.key"), passphrase, what=name)
    return identity.chain_pem.encode() + encode_key(key, export_passphrase)


def rotate_identity(home: Home, name: str, *, passphrase: str | None = None) -> Rotation:
    """A fresh leaf key and certificate under the same root; the old key is destroyed, its certificate kept.

    What the old key signed stays valid: rotating is no revocation. Needs the root key.

    A crash in between leaves an identity that loads: the new chain is written beside the old one, then the
    key is replaced, then the chain; :func:`provenance.identity.identity.load_identity` finishes the last step.

    Raises:
        IdentityError: not a self-made identity, or the root key is not here.
    """
    old = load_identity(home, name, passphrase)
    if old.kind != "self-made":
        raise IdentityError(
            f"identity {name!r} has no root of its own to issue a new certificate",
            hint="get a new certificate from its issuer, and import it under a new name",
        )
    root, root_key = load_root(home, name, passphrase)
    folder = identity_folder(home, name)
    retired = folder / "retired" / f"{old.key_id}.pem"
    atomic.write_bytes(retired, certificates.to_pem(list(old.chain)).encode(), mode=0o600)
    key = certificates.generate_key(old.algorithm)
    leaf = certificates.make_leaf(root, root_key, key.public_key(), old.claimed_name)
    next_chain = folder / "chain.next.pem"
    atomic.write_bytes(next_chain, certificates.to_pem([leaf, root]).encode(), mode=0o600)
    atomic.write_bytes(folder / "leaf.key", encode_key(key, passphrase), mode=0o600)
    next_chain.replace(folder / "chain.pem")
    return Rotation(load_identity(home, name, passphrase), old.key_id, retired)


def retired_certificates(home: Home, name: str) -> list[x509.Certificate]:
    """Certificates that identity ``name`` signed with before it was rotated."""
    folder = identity_folder(home, name) / "retired"
    if not folder.is_dir():
        return []
    return [certificates.parse_chain(read_private(path))[0] for path in sorted(folder.glob("*.pem"))]


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


def fit_chain(chain_pem: bytes | str) -> list[x509.Certificate]:
    """Parse and order a chain, and refuse one that C2PA would refuse, saying every reason.

    Raises:
        IdentityError: see above; the hint says how to make a good certificate.
    """
    chain = certificates.order_chain(certificates.parse_chain(chain_pem))
    faults = find_faults(chain)
    if faults:
        raise IdentityError(
            "the certificate cannot sign C2PA claims: " + "; ".join(map(str, faults)),
            hint="; ".join(dict.fromkeys(fault.remedy for fault in faults)),
        )
    return chain


def split_command(text: str) -> list[str]:
    """A command line as a list, by shell quoting rules, without any shell."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise IdentityError(f"the signer's command cannot be read: {error}") from error
    if not parts:
        raise IdentityError("the signer's command is empty")
    return parts


def _store_external(home: Home, name: str, chain: list[x509.Certificate], command: Sequence[str]) -> Identity:
    algorithm = certificates.algorithm_of(chain[0].public_key())
    external_signer(command, chain[0], algorithm)(b"veilmark trial signature")
    store_identity(
        home, name, kind="external", algorithm=algorithm, chain=chain, files={}, command=list(command)
    )
    return load_identity(home, name)


def _backed_up(home: Home) -> dict[str, Path]:
    return {"identities": home.identities, "roots": home.data / "roots", "trust": home.trust}


def _open_backup(path: Path, passphrase: str) -> dict[str, str]:
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_BACKUP_BYTES else b""
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    if not data.startswith(_BACKUP_MAGIC):
        raise IdentityError(f"{path} is no veilmark backup")
    body = data[len(_BACKUP_MAGIC) :]
    salt, nonce = body[:_SALT_BYTES], body[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    try:
        sealed = body[_SALT_BYTES + _NONCE_BYTES :]
        plain = AESGCM(_backup_key(passphrase, salt)).decrypt(nonce, sealed, _BACKUP_MAGIC)
        contents = json.loads(plain)
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


def _spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | Any) -> bytes:
    return bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
