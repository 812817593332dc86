"""Certificates as a person would buy them, with the faults that a test asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.identity import certificates


def pem_of(key: object) -> bytes:
    """A private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Bought:
    """A leaf under an issuer of its own, good unless told otherwise."""

    def __init__(self) -> None:
        self.issuer_key = certificates.generate_key("es256")
        self.issuer = certificates.make_root(self.issuer_key, "Example CA")
        self.key: object = certificates.generate_key("es256")
        self.usages = [ExtendedKeyUsageOID.EMAIL_PROTECTION]
        self.authority_id = self.organization = self.digital_signature = True
        self.is_ca = self.signs_certificates = False
        self.days = 30
        self.issuer_ok = True

    def chain(self) -> str:
        if not self.issuer_ok:
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "No CA")])
            self.issuer = self._builder(name, name, self.issuer_key).sign(self.issuer_key, hashes.SHA256())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "Jane Doe")]
        if self.organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example News"))
        builder = self._builder(x509.Name(attributes), self.issuer.subject, self.key)
        builder = builder.add_extension(x509.BasicConstraints(self.is_ca, None), critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(
                self.digital_signature,
                False,
                True,
                False,
                False,
                self.signs_certificates,
                False,
                False,
                False,
            ),
            critical=True,
        )
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        if self.authority_id:
            public = self.issuer_key.public_key()
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
            builder = builder.add_extension(identifier, critical=False)
        leaf = builder.sign(self.issuer_key, hashes.SHA256())
        return certificates.to_pem([leaf, self.issuer])

    def _builder(self, subject: x509.Name, issuer: x509.Name, key: object) -> x509.CertificateBuilder:
        end = datetime.now(UTC) + timedelta(days=self.days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())  # type: ignore[attr-defined]
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=60))
            .not_valid_after(end)
        )
