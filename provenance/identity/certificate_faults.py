"""Say what is wrong with a certificate, and how to get a good one.

The requirements are those of the C2PA specification's certificate profile ("Credential Types / X.509
Certificates"). What c2pa's users complain of most is that their tool refuses a certificate without saying which
of these failed; :func:`find_faults` names each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from provenance.errors import IdentityError
from provenance.identity.certificates import (
    algorithm_of,
    claimed_name,
    is_authority,
    order_chain,
    parse_chain,
)

DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
C2PA_CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
_ACCEPTED_USAGES = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    DOCUMENT_SIGNING: "documentSigning",
    C2PA_CLAIM_SIGNING: "c2pa-kp-claimSigning",
}


@dataclass(frozen=True)
class Fault:
    """One requirement that a certificate fails.

    Attributes:
        requirement: short name, stable.
        message: what was found and what is expected.
        remedy: how to get a certificate that passes.
    """

    requirement: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.requirement}: {self.message}"


def fit_chain(chain_pem: bytes | str) -> list[x509.Certificate]:
    """Parse and order a chain, and refuse one that C2PA would refuse, saying every reason.

    Raises:
        IdentityError: see above; the hint says how to make a good certificate.
    """
    chain = order_chain(parse_chain(chain_pem))
    faults = find_faults(chain)
    if faults:
        raise IdentityError(
            "the certificate cannot sign C2PA claims: " + "; ".join(map(str, faults)),
            hint="; ".join(dict.fromkeys(fault.remedy for fault in faults)),
        )
    return chain


def find_faults(chain: list[x509.Certificate], *, at: datetime | None = None) -> list[Fault]:
    """Which C2PA requirements a chain (leaf first) fails; an empty list when it is fit for signing claims."""
    leaf, now = chain[0], at or datetime.now(UTC)
    faults = _key_faults(leaf) + _extension_faults(leaf)
    if leaf.version is not x509.Version.v3:
        faults.append(
            Fault("version", f"the certificate is {leaf.version.name}, v3 is required", "reissue it")
        )
    if leaf.subject == leaf.issuer:
        faults.append(
            Fault(
                "self-signed",
                "the signing certificate is its own issuer; C2PA refuses self-signed claim signers",
                "make a root first and let it sign the leaf (`veilmark identity new` does both)",
            )
        )
    if not leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME):
        faults.append(
            Fault(
                "subject",
                "the subject has no organization (O), which verifiers show as the signer's name",
                "reissue it with O= in its subject, for example `-subj '/CN=Jane Doe/O=Example News'`",
            )
        )
    for index, one in enumerate(chain):
        which = "the certificate" if index == 0 else f"the issuer {claimed_name(one)!r}"
        faults += _validity_faults(one, which, now)
        if index and not is_authority(one):
            faults.append(
                Fault(
                    "issuer",
                    f"{which} is no certificate authority (basicConstraints CA:TRUE, keyUsage keyCertSign)",
                    "reissue it with `basicConstraints=critical,CA:TRUE` and `keyUsage=critical,keyCertSign`",
                )
            )
    return faults


def _key_faults(leaf: x509.Certificate) -> list[Fault]:
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        found = f"the key is RSA-{key.key_size}"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        found = f"the key is on curve {key.curve.name}"
    else:
        found = f"the key is {type(key).__name__.lstrip('_').removesuffix('PublicKey')}"
    try:
        algorithm_of(key)
    except IdentityError:
        remedy = "make a P-256 key: `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8`"
        return [Fault("key", f"{found}; veilmark signs with P-256, P-384 or Ed25519", remedy)]
    return []


def _extension_faults(leaf: x509.Certificate) -> list[Fault]:
    """Key usage, extended key usage, basic constraints and authority key identifier."""
    try:
        present = {one.oid: one.value for one in leaf.extensions}
    except ValueError as error:
        return [Fault("extensions", f"the certificate's extensions cannot be read: {error}", "reissue it")]
    faults = []
    usage = present.get(x509.KeyUsage.oid)
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        found = "has no keyUsage" if usage is None else "has a keyUsage without digitalSignature"
        remedy = "reissue it with `keyUsage=critical,digitalSignature`"
        faults.append(Fault("key usage", f"the certificate {found}", remedy))
    if isinstance(usage, x509.KeyUsage) and usage.key_cert_sign:
        faults.append(
            Fault(
                "key usage",
                "the certificate may sign certificates (keyCertSign); a claim signer must be an end entity",
                "keep that key as root, and let it issue a leaf with `keyUsage=critical,digitalSignature`",
            )
        )
    faults += _extended_usage_faults(present.get(x509.ExtendedKeyUsage.oid))
    constraints = present.get(x509.BasicConstraints.oid)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        faults.append(
            Fault(
                "basic constraints",
                "the certificate says CA:TRUE",
                "reissue it with `basicConstraints=CA:FALSE`",
            )
        )
    if x509.AuthorityKeyIdentifier.oid not in present:
        faults.append(
            Fault(
                "authority key identifier",
                "the certificate does not say which key issued it",
                "reissue it with `authorityKeyIdentifier=keyid` "
                "(its issuer needs `subjectKeyIdentifier=hash`)",
            )
        )
    return faults


def _extended_usage_faults(extended: object) -> list[Fault]:
    remedy = "reissue it with `extendedKeyUsage=emailProtection` (an S/MIME certificate has that)"
    if not isinstance(extended, x509.ExtendedKeyUsage):
        return [Fault("extended key usage", "the certificate has no extendedKeyUsage", remedy)]
    usages = set(extended)
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        return [Fault("extended key usage", "anyExtendedKeyUsage is not allowed", remedy)]
    special = {ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING} & usages
    if special or not usages & set(_ACCEPTED_USAGES):
        found = ", ".join(sorted(oid._name for oid in usages))
        expected = ", ".join(_ACCEPTED_USAGES.values())
        return [Fault("extended key usage", f"found {found}, expected one of {expected}", remedy)]
    return []


def _validity_faults(one: x509.Certificate, which: str, now: datetime) -> list[Fault]:
    faults = []
    if now < one.not_valid_before_utc:
        message = f"{which} is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        faults.append(Fault("validity", message, "check this machine's clock, or wait"))
    if now > one.not_valid_after_utc:
        message = f"{which} expired on {one.not_valid_after_utc:%Y-%m-%d}"
        faults.append(Fault("validity", message, "renew it (`veilmark identity rotate` for a self-made one)"))
    digest = one.signature_hash_algorithm
    if digest is not None and digest.name in ("md5", "sha1"):
        message = f"{which} is signed with {digest.name}"
        faults.append(Fault("signature algorithm", message, "reissue it with SHA-256 or stronger"))
    return faults
