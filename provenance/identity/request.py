"""Certificate requests (PKCS#10, RFC 2986): a key that waits here for the certificate that an authority issues.

``requests/NAME/`` in the data folder holds the key (``leaf.key``, as an identity's) and ``request.pem``. Importing the
certificate under the same name makes an identity of both and removes the folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.admin import import_identity
from provenance.identity.identity import Identity, identity_folder
from provenance.identity.keyfiles import check_passphrase, encode_key, read_private, store_folder
from provenance.media import files as atomic

#: What a certificate may be used for, by name: C2PA 2.4, "Certificate profile", and the older choices.
USAGES = {
    "c2pa": ObjectIdentifier("1.3.6.1.4.1.62558.2.1"),
    "email": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "document": ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
}


def request_certificate(
    home: Home,
    name: str,
    *,
    subject: str,
    organization: str = "",
    country: str = "",
    usage: str = "c2pa",
    algorithm: str = "es256",
    passphrase: str | None = None,
) -> bytes:
    """Make a key and a request for its certificate; the request as PEM.

    Asking again under the same name gives the request that is waiting.

    Args:
        subject: common name, 1 to 64 characters.
        organization: the same; default the subject.
        country: two letters, or empty.
        usage: one of :data:`USAGES`.
        passphrase: encrypts the key at rest.

    Raises:
        IdentityError: the name is taken by an identity or by a request for another subject, or an argument is
            unusable.
        NotWritableError: the data folder cannot be written.
    """
    waiting = request_folder(home, name)
    if identity_folder(home, name).exists():
        raise IdentityError(f"there is an identity {name!r} already", hint="choose another name")
    wanted = _subject(subject, organization or subject, country)
    if waiting.is_dir():
        pem = read_private(waiting / "request.pem")
        if x509.load_pem_x509_csr(pem).subject != wanted:
            raise IdentityError(
                f"a request {name!r} for another subject is waiting",
                hint=f"choose another name, or remove {waiting}",
            )
        return pem
    if usage not in USAGES:
        raise IdentityError(f"unknown usage {usage[:20]!r}", hint=f"choose one of {', '.join(USAGES)}")
    check_passphrase(passphrase)
    key = certificates.generate_key(algorithm)
    usages = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(wanted)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=True)
        .add_extension(x509.ExtendedKeyUsage([USAGES[usage]]), critical=False)
    )
    digest: hashes.SHA256 | hashes.SHA384 | None = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        digest = hashes.SHA256() if algorithm == "es256" else hashes.SHA384()
    pem = builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)
    store_folder(waiting, {"leaf.key": encode_key(key, passphrase), "request.pem": pem})
    return pem


def request_folder(home: Home, name: str) -> Path:
    """Where the request of that name waits; IdentityError for a name that cannot name an identity."""
    return home.data / "requests" / identity_folder(home, name).name


def import_requested(
    home: Home, name: str, *, chain_pem: bytes | str, passphrase: Callable[[Path], str | None]
) -> Identity:
    """Make an identity of the key that waits under ``name`` and the certificate that was issued for it.

    Args:
        chain_pem: the certificate and its issuers, in any order.
        passphrase: asked with the key's file for what opens it; the same protects the identity.

    Raises:
        IdentityError: nothing waits under that name, the certificate is unfit, or it is for another key.
    """
    waiting = request_folder(home, name)
    if not waiting.is_dir():
        raise IdentityError(
            f"no certificate request {name!r} is waiting",
            hint="name the key with --key, --signer or --pkcs11, or make a request: veilmark identity request",
        )
    secret = passphrase(waiting / "leaf.key")
    identity = import_identity(
        home,
        name,
        chain_pem=chain_pem,
        key_pem=read_private(waiting / "leaf.key"),
        key_passphrase=secret,
        passphrase=secret,
    )
    issued_for = identity_folder(home, name) / "request.pem"
    atomic.write_bytes(issued_for, read_private(waiting / "request.pem"), mode=0o600)
    shutil.rmtree(waiting)
    return identity


def _subject(common_name: str, organization: str, country: str) -> x509.Name:
    name = certificates.subject_name(common_name, organization)
    if not country:
        return name
    if len(country) != 2 or not (country.isascii() and country.isalpha()):
        raise IdentityError(f"{country[:20]!r} is no country", hint="two letters (ISO 3166), such as DE")
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, country.upper()), *name])
