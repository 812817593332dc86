"""Keep identities over the years: import a certificate with its key, export, rotate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificate_faults import fit_chain
from provenance.identity.identity import (
    Identity,
    Kind,
    identity_folder,
    load_identity,
    load_root,
    public_key_bytes,
    store_identity,
)
from provenance.identity.keyfiles import check_passphrase, decode_key, encode_key, read_private
from provenance.media import files as atomic


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
    if public_key_bytes(key.public_key()) != public_key_bytes(chain[0].public_key()):
        raise IdentityError(
            "the key is not the one that the certificate is for",
            hint="the certificate must be issued for this key's certificate request",
        )
    store_identity(
        home,
        name,
        kind=Kind.IMPORTED,
        algorithm=certificates.algorithm_of(key),
        chain=chain,
        files={"leaf.key": encode_key(key, passphrase)},
    )
    return load_identity(home, name, passphrase)


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
    if identity.kind in (Kind.EXTERNAL, Kind.PKCS11):
        raise IdentityError(f"the key of {name!r} is not on this machine's disk and cannot be exported")
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
    if old.kind is not Kind.SELF_MADE:
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
