"""Identities whose key is kept elsewhere: by a signer program, or in a PKCS#11 token.

A trial signature is made before anything is stored, so that a wrong key or PIN is found here and not at the next
capture.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificate_faults import fit_chain
from provenance.identity.external import remote_signer
from provenance.identity.identity import (
    Identity,
    Kind,
    list_names,
    load_identity,
    root_folder,
    store_identity,
)
from provenance.identity.keyfiles import check_passphrase, encode_key, store_folder

_TRIAL = b"veilmark trial signature"


def import_external(home: Home, name: str, *, chain_pem: bytes | str, command: Sequence[str]) -> Identity:
    """Take over a certificate whose key is reached through a signer program (:mod:`provenance.identity.external`).

    Raises:
        IdentityError: the certificate fails a C2PA requirement, the trial signature failed, or the name is taken.
    """
    return _store(home, name, fit_chain(chain_pem), _command(command))


def import_token(home: Home, name: str, *, chain_pem: bytes | str, uri: str, pin: str) -> Identity:
    """Take over a certificate whose key is in a PKCS#11 token (:mod:`provenance.identity.pkcs11`).

    Args:
        uri: the key's PKCS#11 URI; it is stored, the PIN is not.

    Raises:
        IdentityError: as for :func:`import_external`.
    """
    return _store(home, name, fit_chain(chain_pem), _token(uri), pin)


def certify_external(
    home: Home,
    name: str,
    *,
    subject: str,
    public_key: bytes,
    command: Sequence[str],
    passphrase: str | None = None,
) -> Identity:
    """Make a root here and let it certify a key that a signer program keeps.

    Args:
        public_key: the key's public half, SubjectPublicKeyInfo as PEM or DER.
        passphrase: encrypts the root's key here.

    Raises:
        IdentityError: the public key is unusable, the trial signature failed, or the name is taken.
    """
    return _certify(home, name, subject, public_key, _command(command), passphrase, None)


def certify_token(
    home: Home,
    name: str,
    *,
    subject: str,
    uri: str,
    pin: str,
    generate: str | None = None,
    passphrase: str | None = None,
) -> Identity:
    """Make a root here and let it certify a key in a PKCS#11 token.

    Args:
        uri: the key's PKCS#11 URI; it is stored, the PIN is not.
        generate: ``es256`` or ``es384``: make the key in the token first.
        passphrase: encrypts the root's key here.

    Raises:
        IdentityError: the token cannot be used, the trial signature failed, or the name is taken.
    """
    from provenance.identity.pkcs11 import TokenKey

    key = TokenKey.parse(uri)
    _require_free(home, name)
    if generate:
        key.generate(generate, pin)
    return _certify(home, name, subject, key.public_key(pin), _token(uri), passphrase, pin)


def split_command(text: str) -> list[str]:
    """A command line as a list, by shell quoting rules, without any shell."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise IdentityError(f"the signer's command cannot be read: {error}") from error
    if not parts:
        raise IdentityError("the signer's command is empty")
    return parts


def _certify(
    home: Home,
    name: str,
    subject: str,
    public_key: bytes,
    where: dict[str, Any],
    passphrase: str | None,
    pin: str | None,
) -> Identity:
    check_passphrase(passphrase)
    _require_free(home, name)
    try:
        if b"-----BEGIN" in public_key:
            public: Any = serialization.load_pem_public_key(public_key)
        else:
            public = serialization.load_der_public_key(public_key)
    except ValueError as error:
        raise IdentityError(
            "no public key could be read", hint="expected SubjectPublicKeyInfo, PEM or DER"
        ) from error
    root_key = certificates.generate_key(certificates.algorithm_of(public))
    root = certificates.make_root(root_key, subject)
    leaf = certificates.make_leaf(root, root_key, public, subject)
    identity = _store(home, name, [leaf, root], where, pin)
    files = {"root.key": encode_key(root_key, passphrase), "root.pem": certificates.to_pem([root]).encode()}
    store_folder(root_folder(home, name), files)
    return identity


def _require_free(home: Home, name: str) -> None:
    if name in list_names(home) or root_folder(home, name).exists():
        raise IdentityError(f"an identity {name!r} exists", hint="choose another name")


def _store(
    home: Home, name: str, chain: list[x509.Certificate], where: dict[str, Any], pin: str | None = None
) -> Identity:
    algorithm = certificates.algorithm_of(chain[0].public_key())
    remote_signer(where, chain[0], algorithm, pin)(_TRIAL)
    store_identity(home, name, kind=where["kind"], algorithm=algorithm, chain=chain, files={}, where=where)
    return load_identity(home, name, pin)


def _command(command: Sequence[str]) -> dict[str, Any]:
    return {"kind": Kind.EXTERNAL, "command": list(command)}


def _token(uri: str) -> dict[str, Any]:
    return {"kind": Kind.PKCS11, "uri": uri}
