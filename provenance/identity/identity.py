"""Who signs: a key, its certificates, and where they lie on this machine.

Layout below the home folder, every file 0600 in folders 0700::

    identities/NAME/identity.json   name, algorithm, kind, times; where a key is that is not here
    identities/NAME/chain.pem       certificates, leaf first, root last
    identities/NAME/leaf.key        PKCS#8 PEM, encrypted where a passphrase was given
    identities/DEFAULT              the name that is used when none is given
    roots/NAME/root.key             the self-made root's key, apart from the leaf: signing never reads it, so
                                    the folder can be moved to a place that is offline

The root only signs leaves and revocations. What signs every day is the leaf.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from provenance import strict_json
from provenance.errors import IdentityError, NotInitializedError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificates import PrivateKey
from provenance.identity.keyfiles import (
    check_passphrase,
    decode_key,
    encode_key,
    key_signer,
    read_private,
    store_folder,
)
from provenance.media import files as atomic
from provenance.record import key_id_of, now_utc


class Kind(StrEnum):
    """Where an identity's certificate and key come from."""

    SELF_MADE = "self-made"  #: certificate and root made here
    IMPORTED = "imported"  #: bought, or of one's own authority
    EXTERNAL = "external"  #: a signer program keeps the key
    PKCS11 = "pkcs11"  #: a PKCS#11 token keeps the key


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Identity:
    """A key that can sign, and the certificates that say whose it is. Satisfies ``record.RecordSigner``.

    Attributes:
        name: how it is called on this machine.
        kind: where certificate and key come from.
        algorithm: ``es256``, ``es384`` or ``ed25519``.
        chain: certificates, leaf first.
        created: RFC 3339 UTC.
    """

    name: str
    kind: Kind
    algorithm: str
    chain: tuple[x509.Certificate, ...]
    created: str
    _sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def root(self) -> x509.Certificate:
        """The last certificate of the chain."""
        return self.chain[-1]

    @property
    def claimed_name(self) -> str:
        """What the certificate calls the signer. It is a claim unless its chain leads to a trusted anchor."""
        return certificates.claimed_name(self.leaf)

    @cached_property
    def chain_der(self) -> list[bytes]:
        """Certificates as DER, leaf first."""
        return [certificates.to_der(one) for one in self.chain]

    @cached_property
    def chain_pem(self) -> str:
        """Certificates as PEM text, leaf first."""
        return certificates.to_pem(list(self.chain))

    @cached_property
    def key_id(self) -> str:
        """Hex SHA-256 of the leaf's SubjectPublicKeyInfo."""
        return key_id_of(self.chain_der[0])

    def sign(self, data: bytes) -> bytes:
        """Signature over ``data``: raw ``r || s`` (IEEE P1363) for ECDSA, 64 bytes for Ed25519.

        Raises:
            IdentityError: a signer program or a token failed.
        """
        return self._sign(data)


def create_identity(
    home: Home,
    name: str = "default",
    *,
    subject: str,
    passphrase: str | None = None,
    algorithm: str = "es256",
) -> Identity:
    """Make a root, a leaf under it, and store both; the first identity becomes the default.

    Asking again for an identity that is there, with the same subject and algorithm, returns it unchanged.

    Args:
        subject: the claimed name, 1 to 64 characters; it becomes common name and organization.
        passphrase: encrypts leaf and root key at rest (PKCS#8, PBES2); at least 8 characters.

    Raises:
        IdentityError: the name is taken by another subject or algorithm, or an argument is unusable.
        NotWritableError: the data folder cannot be written.
    """
    folder = identity_folder(home, name)
    if folder.is_dir():
        return _same_identity(load_identity(home, name, passphrase), subject, algorithm)
    check_passphrase(passphrase)
    # the root first: an identity without its root cannot be renewed, a root without identity waits to be used
    root, root_key = _root_for(home, name, subject, algorithm, passphrase)
    leaf_key = certificates.generate_key(algorithm)
    leaf = certificates.make_leaf(root, root_key, leaf_key.public_key(), subject)
    store_identity(
        home,
        name,
        kind=Kind.SELF_MADE,
        algorithm=algorithm,
        chain=[leaf, root],
        files={"leaf.key": encode_key(leaf_key, passphrase)},
    )
    return load_identity(home, name, passphrase)


def load_identity(home: Home, name: str | None = None, passphrase: str | None = None) -> Identity:
    """Read an identity; None asks for the default one.

    Args:
        passphrase: opens the key; the PIN where a PKCS#11 token keeps it.

    Raises:
        NotInitializedError: there is no identity at all.
        IdentityError: unknown name, wrong permissions, missing or wrong passphrase, damaged files.
    """
    name = name or default_name(home)
    folder = identity_folder(home, name)
    if not folder.is_dir():
        known = ", ".join(list_names(home)) or "none"
        raise IdentityError(
            f"there is no identity {name!r}; there are: {known}", hint="see `veilmark identity list`"
        )
    about = _read_about(folder)
    chain = certificates.parse_chain(read_private(folder / "chain.pem"))
    if about["kind"] in (Kind.EXTERNAL, Kind.PKCS11):
        from provenance.identity.external import remote_signer

        sign = remote_signer(about, chain[0], about["algorithm"], passphrase)
    else:
        key = decode_key(read_private(folder / "leaf.key"), passphrase, what=f"identity {name!r}")
        if not _belongs(key, chain):
            chain = _finish_rotation(folder, key) or chain
        if not _belongs(key, chain):
            raise IdentityError(f"key and certificate of identity {name!r} do not belong together")
        sign = key_signer(key)
    return Identity(name, Kind(about["kind"]), about["algorithm"], tuple(chain), about["created"], sign)


def public_chain(home: Home, name: str | None = None) -> list[x509.Certificate]:
    """Certificates of an identity, leaf first; its key is not touched. None asks for the default one.

    Raises:
        NotInitializedError: there is no identity at all.
        IdentityError: unknown name, or damaged files.
    """
    return certificates.parse_chain(
        read_private(identity_folder(home, name or default_name(home)) / "chain.pem")
    )


def list_names(home: Home) -> list[str]:
    """Names of all identities, sorted."""
    if not home.identities.is_dir():
        return []
    return sorted(entry.name for entry in home.identities.iterdir() if (entry / "identity.json").is_file())


def default_name(home: Home) -> str:
    """The identity that is used when none is named; NotInitializedError where there is none."""
    marker = home.identities / "DEFAULT"
    if marker.is_file():
        return marker.read_text(encoding="utf-8", errors="replace")[:64].strip()
    names = list_names(home)
    if not names:
        raise NotInitializedError(f"no identity in {home.identities}")
    return names[0]


def set_default(home: Home, name: str) -> None:
    """Make ``name`` the identity that is used when none is named."""
    if name not in list_names(home):
        raise IdentityError(f"there is no identity {name!r}", hint="see `veilmark identity list`")
    atomic.write_bytes(home.identities / "DEFAULT", f"{name}\n".encode(), mode=0o600)


def identity_folder(home: Home, name: str) -> Path:
    return home.identities / _checked_name(name)


def root_folder(home: Home, name: str) -> Path:
    """Where the self-made root of identity ``name`` lies, apart from the leaf."""
    return home.data / "roots" / _checked_name(name)


def load_root(home: Home, name: str, passphrase: str | None) -> tuple[x509.Certificate, PrivateKey]:
    """The self-made root and its key; IdentityError where it was moved away or never was."""
    folder = root_folder(home, name)
    if not (folder / "root.key").is_file():
        raise IdentityError(
            f"the root key of identity {name!r} is not at {folder}",
            hint="bring the folder back from where you keep it offline, or restore a backup",
        )
    root = certificates.parse_chain(read_private(folder / "root.pem"))[0]
    return root, decode_key(read_private(folder / "root.key"), passphrase, what=f"root of {name!r}")


def store_identity(
    home: Home,
    name: str,
    *,
    kind: Kind,
    algorithm: str,
    chain: list[x509.Certificate],
    files: dict[str, bytes],
    where: Mapping[str, Any] | None = None,
) -> None:
    """Write an identity's folder, whole or not at all; the first one becomes the default.

    Args:
        files: further files by name, such as the key.
        where: how a key that is kept elsewhere is reached (see :func:`provenance.identity.external.remote_signer`).
    """
    about: dict[str, Any] = {
        "type": "veilmark.identity/1",
        "name": name,
        "kind": kind,
        "algorithm": algorithm,
        "created": now_utc(),
        **(where or {}),
    }
    contents = {
        **files,
        "chain.pem": certificates.to_pem(chain).encode(),
        "identity.json": json.dumps(about, indent=2).encode(),
    }
    store_folder(identity_folder(home, name), contents)
    if not (home.identities / "DEFAULT").is_file():
        set_default(home, name)


def _root_for(
    home: Home, name: str, subject: str, algorithm: str, passphrase: str | None
) -> tuple[x509.Certificate, PrivateKey]:
    """A fresh root, or the one that a creation which was cut off has left behind."""
    folder = root_folder(home, name)
    if not folder.is_dir():
        key = certificates.generate_key(algorithm)
        root = certificates.make_root(key, subject)
        files = {"root.key": encode_key(key, passphrase), "root.pem": certificates.to_pem([root]).encode()}
        store_folder(folder, files)
        return root, key
    root, key = load_root(home, name, passphrase)
    organizations = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if certificates.algorithm_of(key) != algorithm or [one.value for one in organizations] != [subject]:
        raise IdentityError(
            f"{folder} holds the root of another identity",
            hint="move that folder away, or choose another name for the new identity",
        )
    return root, key


def _same_identity(found: Identity, subject: str, algorithm: str) -> Identity:
    if found.claimed_name == subject and found.algorithm == algorithm:
        return found
    raise IdentityError(
        f"identity {found.name!r} exists for {found.claimed_name!r} ({found.algorithm})",
        hint="choose another name for the new identity",
    )


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise IdentityError(
            f"{name[:80]!r} cannot name an identity",
            hint="use lower-case letters, digits, dot, dash and underscore",
        )
    return name


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = strict_json.loads(read_private(folder / "identity.json"))
        good = (
            about["kind"] in set(Kind)
            and about["algorithm"] in certificates.ALGORITHMS
            and isinstance(about["created"], str)
            and (about["kind"] != Kind.EXTERNAL or all(isinstance(part, str) for part in about["command"]))
            and (about["kind"] != Kind.PKCS11 or isinstance(about["uri"], str))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityError(
            f"{folder / 'identity.json'} is damaged", hint="restore it from a backup"
        ) from error
    if not good:
        raise IdentityError(f"{folder / 'identity.json'} has unknown values", hint="restore it from a backup")
    return dict(about)


def _belongs(key: PrivateKey, chain: list[x509.Certificate]) -> bool:
    return public_key_bytes(key.public_key()) == public_key_bytes(chain[0].public_key())


def _finish_rotation(folder: Path, key: PrivateKey) -> list[x509.Certificate] | None:
    """A rotation that was cut off after it replaced the key left the chain that belongs to it."""
    waiting = folder / "chain.next.pem"
    if not waiting.is_file():
        return None
    chain = certificates.parse_chain(read_private(waiting))
    if _belongs(key, chain):
        waiting.replace(folder / "chain.pem")
    return chain


def public_key_bytes(key: Any) -> bytes:
    """The public key as DER (SubjectPublicKeyInfo)."""
    return bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
