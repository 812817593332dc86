"""Files as other tools, or fate, leave them: signed by authorities of the test, aged, broken, of another version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from provenance.identity import certificates
from provenance.identity.keyfiles import key_signer
from provenance.manifest import jumbf
from provenance.manifest.read import read_manifest

_CREATED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@dataclass
class Vendor:
    """Somebody who signs with another tool: an authority, a leaf and its key."""

    name: str
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        self.key, root_key = certificates.generate_key("es256"), certificates.generate_key("es256")
        self.root = certificates.make_root(root_key, self.name)
        leaf = certificates.make_leaf(self.root, root_key, self.key.public_key(), self.name)
        self.ends = datetime.now(UTC) + timedelta(seconds=self.seconds)
        builder = (
            x509.CertificateBuilder()
            .subject_name(leaf.subject)
            .issuer_name(leaf.issuer)
            .public_key(leaf.public_key())
            .serial_number(leaf.serial_number)
            .not_valid_before(leaf.not_valid_before_utc)
            .not_valid_after(self.ends)
        )
        for one in leaf.extensions:
            builder = builder.add_extension(one.value, one.critical)
        self.leaf = builder.sign(root_key, hashes.SHA256())

    @property
    def root_pem(self) -> str:
        return certificates.to_pem([self.root])

    def sign(
        self, source: Path, output: Path, *, parents: Sequence[Path] = (), trusting: str = "", title: str = ""
    ) -> Path:
        """Sign ``source`` as an edit of ``parents``, whose standing is recorded as one who trusts ``trusting``."""
        created = {"action": "c2pa.created", "digitalSourceType": _CREATED}
        definition: dict[str, Any] = {
            "claim_version": 2,
            "claim_generator_info": [{"name": "another tool"}],
            "title": title or output.name,
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "data": {"actions": [] if parents else [created]},
                    "created": True,
                }
            ],
        }
        settings: dict[str, Any] = {
            "version": 1,
            "builder": {"thumbnail": {"enabled": False}},
            "verify": {"verify_after_sign": False},
        }
        if trusting:
            settings["trust"] = {"user_anchors": trusting}
        if parents:
            definition["assertions"][0]["data"]["actions"] = [
                {"action": "c2pa.opened", "parameters": {"ingredientIds": ["in0"]}}
            ]
        chain = certificates.to_pem([self.leaf, self.root])
        signer = c2pa.Signer.from_callback(key_signer(self.key), c2pa.C2paSigningAlg.ES256, chain)
        with (
            c2pa.Context.from_dict(settings) as context,
            source.open("rb") as reading,
            output.open("w+b") as writing,
        ):
            builder = c2pa.Builder(definition, context=context)
            for index, parent in enumerate(parents):
                about = {"title": parent.name, "relationship": "parentOf", "label": f"in{index}"}
                with parent.open("rb") as stream:
                    builder.add_ingredient(about, "image/jpeg", stream)
            builder.sign(signer, "image/jpeg", reading, writing)
        return output

    def wait_for_the_end(self) -> None:
        """Until the leaf is no longer valid."""
        time.sleep(max(0.0, (self.ends - datetime.now(UTC)).total_seconds()) + 1.1)


def break_ingredient(path: Path) -> None:
    """Change one bit in the signature of the first manifest among the ingredients."""
    report = read_manifest(path, "image/jpeg", anchors_pem=())
    assert report is not None
    label = next(one["manifest_label"] for one in report.ingredients if one["has_manifest"])
    signature = cbor2.loads(jumbf.signature_box(report.manifest_bytes, label)).value[3]
    _flip(path, path.read_bytes().index(signature) + 5)


def break_content(path: Path) -> None:
    """Change one bit near the end of a picture."""
    _flip(path, path.stat().st_size - 40)


def as_later_version(path: Path) -> None:
    """A claim of a version that nobody knows yet."""
    data = path.read_bytes()
    assert data.count(b"c2pa.claim.v2\0") == 1
    path.write_bytes(data.replace(b"c2pa.claim.v2\0", b"c2pa.claim.v7\0"))


def as_draft(path: Path) -> None:
    """Boxes as the drafts before C2PA 1.0 marked them."""
    data = path.read_bytes()
    for new, old in (
        (b"c2pa", b"cacb"),
        (b"c2ma", b"cast"),
        (b"c2as", b"caas"),
        (b"c2cl", b"cacl"),
        (b"c2cs", b"casg"),
    ):
        assert b"jumd" + new in data
        data = data.replace(b"jumd" + new, b"jumd" + old)
    path.write_bytes(data)


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
