"""Real signed records for tests and benchmarks: one self-made ES256 certificate, as many records as asked."""

from __future__ import annotations

import datetime
import hashlib
import random
from collections.abc import Iterator
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provenance.record import Opening, Record, Relation, key_id_of, sign_record
from provenance.store.unixfs import cid_of


class Signer:
    """An ES256 key with a root and a leaf certificate; what :func:`provenance.record.sign_record` needs."""

    algorithm = "es256"

    def __init__(self, name: str = "A. Photographer") -> None:
        root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = _certificate(f"{name} root", root_key, f"{name} root", root_key)
        leaf = _certificate(name, self._key, f"{name} root", root_key)
        self.name = name
        self.chain_der = [leaf.public_bytes(serialization.Encoding.DER) for leaf in (leaf, root)]
        self.key_id = key_id_of(self.chain_der[0])

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@cache
def signer() -> Signer:
    return Signer()


def make_record(number: int, *, seed: str = "records", by: Signer | None = None) -> Record:
    """A record as ``veilmark sign`` makes it for a photograph; ``number`` and ``seed`` decide everything."""
    by = by or signer()
    draw = random.Random(f"{seed} {number}")
    source, file, manifest, pixels = (hashlib.sha256(draw.randbytes(32)).hexdigest() for _ in range(4))
    return Record(
        relation=Relation.CAPTURED,
        source_sha256=source,
        file_sha256=file,
        manifest_sha256=manifest,
        manifest_cid=cid_of(manifest.encode()),
        media_type="image/jpeg",
        fingerprints={"pdq": draw.randbytes(32).hex(), "pdq_quality": 100, "pixels_sha256": pixels},
        parents=[],
        signer={"key_id": by.key_id, "name": by.name},
        time="2026-11-22T12:00:00Z",
    )


def make_openings(count: int, *, start: int = 0, seed: str = "records") -> list[Opening]:
    """Signed records with salts."""
    return list(openings_from(start, start + count, seed=seed))


def openings_from(start: int, stop: int, *, seed: str = "records") -> Iterator[Opening]:
    for number in range(start, stop):
        yield sign_record(make_record(number, seed=seed), signer())


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .sign(issuer_key, hashes.SHA256())
    )
