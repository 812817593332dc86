"""What signers state about their files, of today and of years ago, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.home import Home
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.stated import FACTS, stated_facts
from provenance.pages.verdict import verdict_page
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from tests.support.schemas import checked


def test_what_veilmark_writes(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    home = Home(tmp_path / "desk", tmp_path / "desk/config")
    spec = ManifestSpec(
        author="Jane",
        description="The old bridge",
        device="Canon EOS R5",
        captured_at="2026-11-22T10:00:00Z",
        location=(48.5, -11.25),
    )
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", spec, create_identity(home, subject="Desk"))
    verdict = verify_file(tmp_path / "out.jpg", TrustStore.load(home))
    generator = verdict.stated.pop("generator")
    assert generator.startswith("veilmark ")
    assert verdict.stated == {
        "author": "Jane",
        "description": "The old bridge",
        "device": "Canon EOS R5",
        "captured_at": "2026-11-22T10:00:00Z",
        "location": "48,30.000000N, 11,15.000000W",
    }
    assert checked(verdict.to_json())["stated"]["author"] == "Jane"
    page = verdict_page([verdict])
    assert "<th>Author<td>Jane" in page and "<th>Device<td>Canon EOS R5" in page


@pytest.mark.vectors
def test_files_of_years_ago(test_data: Path, tmp_path: Path) -> None:
    trust = TrustStore.load(Home(tmp_path / "data", tmp_path / "config"))
    folder = test_data / "vectors/c2pa/image/jpeg"
    adobe = verify_file(folder / "adobe-20220124-CA.jpg", trust).stated
    assert adobe["author"] == "Adobe make_test" and adobe["generator"].startswith("make_test_images")
    truepic = verify_file(folder / "truepic-20230212-camera.jpg", trust).stated
    assert truepic["device"] == "Google Pixel 5" and truepic["captured_at"] == "2023-02-12T18:44:26Z"
    assert truepic["location"].startswith("43.15")


def test_strange_statements_do_no_harm() -> None:
    facts = stated_facts(
        "",
        [
            ("stds.exif", {"EXIF:Make": ["A\x1b[31m", 3, None, {}], "exif:Model": {"@list": ["A x"]}}),
            ("stds.schema-org.CreativeWork", {"author": [{"name": ["n"]}, "x", {"name": "y" * 900}]}),
            ("cawg.metadata__1", {"dc:creator": "late", 7: "x", "dc:description": "   "}),
            ("c2pa.metadata", {"exif:GPSLatitude": "1"}),
        ],
    )
    assert facts["author"] == "y" * 400
    assert facts["device"].startswith("A\\x1b[31m, 3") and "\x1b" not in str(facts)
    assert set(facts) <= set(FACTS) and "location" not in facts and "description" not in facts
