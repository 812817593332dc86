"""Validation of a certificate chain against trusted anchors, for records that come without a manifest.

Path validation after RFC 5280, section 6.1, for the part that applies: each certificate is signed by the
next, issuers are certificate authorities, everything is within its validity, and the path ends in (or is
signed by) an anchor. c2pa does the same for manifests.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from provenance.errors import VeilmarkError
from provenance.identity.certificates import parse_chain, printable, read_der
from provenance.trust.lists import MAX_CERTIFICATES

MAX_CHAIN = 10


def trusted_anchor(
    chain_der: Sequence[bytes], anchors_pem: Sequence[str], *, at: datetime | None = None
) -> str | None:
    """The common name of the anchor that a chain leads to, or None where it is not valid.

    Args:
        chain_der: certificates, leaf first, DER; from the record, so nothing in it is trusted.
        anchors_pem: the verifier's own anchors.
        at: the moment at which all certificates must be valid; default now.
    """
    moment = at or datetime.now(UTC)
    if not 0 < len(chain_der) <= MAX_CHAIN:
        return None
    try:
        chain = [read_der(der) for der in chain_der]
        anchors = [anchor for pem in anchors_pem for anchor in _parsed(pem)]
    except (ValueError, VeilmarkError):
        return None
    for depth, certificate in enumerate(chain):
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            return None
        if depth > 0 and not _is_authority(certificate):
            return None
        for anchor in anchors:
            if certificate == anchor or (_is_authority(anchor) and _signed_by(certificate, anchor)):
                valid = anchor.not_valid_before_utc <= moment <= anchor.not_valid_after_utc
                return _common_name(anchor) if valid else None
        if depth + 1 == len(chain) or not _signed_by(certificate, chain[depth + 1]):
            return None
    return None


@functools.lru_cache(maxsize=64)
def _parsed(pem: str) -> tuple[x509.Certificate, ...]:
    """An anchor's certificates; a published list holds dozens, and every record is checked against them."""
    return tuple(parse_chain(pem, max_certificates=MAX_CERTIFICATES))


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return printable(str(names[0].value)) if names else "unnamed anchor"
