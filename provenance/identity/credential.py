"""A credential that names a person or an organization beside whoever signs: a certificate and its key, from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provenance.errors import IdentityError
from provenance.identity import certificates
from provenance.identity.certificate_faults import fit_chain
from provenance.identity.keyfiles import decode_key, key_signer, read_private
from provenance.media.files import read_limited

_MAX_CHAIN_BYTES = 1024 * 1024


@dataclass(frozen=True)
class IdentityCredential:
    """What signs a CAWG identity assertion.

    Attributes:
        name: as the certificate says.
        algorithm: ``es256``, ``es384`` or ``ed25519``.
        chain_pem: the certificate and its issuers, leaf first.
        sign: signs bytes, raw form.
    """

    name: str
    algorithm: str
    chain_pem: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def load_credential(certificate: Path, key: Path, passphrase: str | None = None) -> IdentityCredential:
    """A credential from a certificate chain and a private key, both PEM.

    Raises:
        IdentityError: a file is missing, unfit or open to others, the passphrase is wrong, or the key is another
            certificate's.
    """
    try:
        pem = read_limited(certificate, _MAX_CHAIN_BYTES)
    except OSError as error:
        raise IdentityError(f"cannot read {certificate}: {error.strerror or error}") from error
    if pem is None:
        raise IdentityError(f"{certificate} is over the limit of {_MAX_CHAIN_BYTES} bytes")
    chain = fit_chain(pem)
    private = decode_key(read_private(key), passphrase, what=str(key))
    if private.public_key() != chain[0].public_key():
        raise IdentityError(
            f"{key} is not the key of {certificates.claimed_name(chain[0])!r} in {certificate}",
            hint="give the key that the certificate was issued for",
        )
    return IdentityCredential(
        certificates.claimed_name(chain[0]),
        certificates.algorithm_of(private),
        certificates.to_pem(chain),
        key_signer(private),
    )
