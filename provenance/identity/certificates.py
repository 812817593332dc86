"""Certificates for signing C2PA claims: make them, read them, order them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.errors import IdentityError
from provenance.printable import printable as printable

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
ALGORITHMS = ("es256", "es384", "ed25519")
MAX_CHAIN_BYTES = 256 * 1024
MAX_CHAIN_LENGTH = 10
#: X.520's upper bound for common name and organization.
MAX_SUBJECT_CHARACTERS = 64
#: A claim without time stamp is refused once its certificate has expired, so pictures should outlive it rarely.
LEAF_DAYS = 10 * 365
ROOT_DAYS = 20 * 365

#: What the library raises where a certificate is damaged, or of a kind that it does not know.
UNREADABLE = (ValueError, x509.InvalidVersion, UnsupportedAlgorithm)

_CLOCK_SKEW = timedelta(minutes=10)


def read_der(der: bytes) -> x509.Certificate:
    """A certificate from a file that nobody vouches for; ValueError for whatever is wrong with it."""
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def generate_key(algorithm: str) -> PrivateKey:
    """A fresh private key for ``es256`` (P-256), ``es384`` (P-384) or ``ed25519``."""
    if algorithm == "es256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "es384":
        return ec.generate_private_key(ec.SECP384R1())
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise IdentityError(
        f"unknown algorithm {algorithm[:20]!r}", hint=f"choose one of {', '.join(ALGORITHMS)}"
    )


def algorithm_of(key: object) -> str:
    """The C2PA algorithm name for a public or private key; IdentityError for a key we cannot use."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        name = {"secp256r1": "es256", "secp384r1": "es384"}.get(key.curve.name)
        if name:
            return name
        raise IdentityError(f"the key is on curve {key.curve.name}", hint="use P-256, P-384 or Ed25519")
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "ed25519"
    raise IdentityError(f"the key is a {type(key).__name__}", hint="use P-256, P-384 or Ed25519")


def make_root(key: PrivateKey, subject: str) -> x509.Certificate:
    """A self-signed certificate authority that may sign leaves and nothing else."""
    name = subject_name(f"{subject[: MAX_SUBJECT_CHARACTERS - 8]} root", subject)
    public = key.public_key()
    builder = (
        _dated(name, name, public, ROOT_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key, _digest_for(key))


def make_leaf(
    root: x509.Certificate,
    root_key: PrivateKey,
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    subject: str,
    *,
    days: int = LEAF_DAYS,
) -> x509.Certificate:
    """A claim-signing leaf under ``root``, as C2PA's certificate profile asks."""
    root_ski = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_ski)
    builder = (
        _dated(subject_name(subject, subject), root.subject, public_key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
    )
    return builder.sign(root_key, _digest_for(root_key))


def subject_name(common_name: str, organization: str) -> x509.Name:
    """An X.509 name; IdentityError where a part is empty, over 64 characters, or holds control characters."""
    for part in (common_name, organization):
        if not part.strip() or len(part) > MAX_SUBJECT_CHARACTERS or not part.isprintable():
            raise IdentityError(
                f"the name must be 1 to {MAX_SUBJECT_CHARACTERS} printable characters, not {part[:80]!r}",
                hint='give a shorter name, for example --subject "Jane Doe"',
            )
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        ]
    )


def parse_chain(pem: bytes | str, *, max_certificates: int = MAX_CHAIN_LENGTH) -> list[x509.Certificate]:
    """Certificates of a PEM text in the order given.

    Raises:
        IdentityError: too large, too many, none, or unreadable.
    """
    data = pem.encode() if isinstance(pem, str) else pem
    limit = MAX_CHAIN_BYTES // MAX_CHAIN_LENGTH * max_certificates
    if len(data) > limit:
        raise IdentityError(f"certificate file of {len(data)} bytes is over the limit of {limit}")
    try:
        chain = x509.load_pem_x509_certificates(data)
    except UNREADABLE as error:
        raise IdentityError(
            "no certificate could be read from the file",
            hint="expected PEM (-----BEGIN CERTIFICATE-----); "
            "convert DER with `openssl x509 -inform der -in FILE -out FILE.pem`",
        ) from error
    if len(chain) > max_certificates:
        raise IdentityError(f"{len(chain)} certificates are over the limit of {max_certificates}")
    return chain


def to_pem(certificates: list[x509.Certificate]) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def to_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def claimed_name(certificate: x509.Certificate) -> str:
    """Common name, else organization, else the whole subject; control characters are shown escaped."""
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        values = certificate.subject.get_attributes_for_oid(oid)
        if values:
            return printable(str(values[0].value))
    return printable(certificate.subject.rfc4514_string())


def order_chain(certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """The same certificates each followed by its issuer; IdentityError where they form no chain."""
    subjects = [one.subject for one in certificates]
    leaves = [
        one
        for one in certificates
        if one.subject != one.issuer and sum(other.issuer == one.subject for other in certificates) == 0
    ]
    if len(certificates) == 1:
        return list(certificates)
    if len(leaves) != 1:
        raise IdentityError(
            f"found {len(leaves)} end-entity certificates in the chain, expected one",
            hint="the file must hold your certificate, then each issuer up to (or without) the root",
        )
    ordered = [leaves[0]]
    while ordered[-1].issuer != ordered[-1].subject and ordered[-1].issuer in subjects:
        ordered.append(certificates[subjects.index(ordered[-1].issuer)])
        if len(ordered) > len(certificates):
            raise IdentityError("the certificates issue each other in a circle")
    if len(ordered) != len(certificates):
        raise IdentityError(
            f"{len(certificates) - len(ordered)} certificate(s) in the file do not belong to the chain"
        )
    for child, issuer in itertools.pairwise(ordered):
        try:
            child.verify_directly_issued_by(issuer)
        except Exception as error:
            raise IdentityError(
                f"the certificate of {claimed_name(issuer)!r} did not sign that of {claimed_name(child)!r}"
            ) from error
    return ordered


def is_authority(one: x509.Certificate) -> bool:
    """Whether a certificate may sign other certificates."""
    try:
        constraints = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.ca and usage.key_cert_sign


def _dated(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _digest_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return hashes.SHA256() if key.curve.key_size <= 256 else hashes.SHA384()
