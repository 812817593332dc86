"""The public C2PA test files give the verdicts of their published naming key."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.manifest.read import read_manifest
from provenance.media.picture import detect_format

pytestmark = pytest.mark.vectors

# name: (state, kinds of failure of the active manifest, whether an ingredient's failure must be told)
_GOOD = ("valid", set(), False)
_GOOD_NAMES = ("C", "CA", "CACA", "CACAICAICICA", "CAI", "CAIAIIICAICIICAIICICA", "CAICA", "CAICAI", "CI")
_GOOD_NAMES += ("CICA", "CICACACA", "CII")
EXPECTED = {
    **{f"adobe-20220124-{name}.jpg": None for name in ("A", "I")},
    **{f"adobe-20220124-{name}.jpg": _GOOD for name in _GOOD_NAMES},
    "adobe-20220124-CIE-sig-CA.jpg": ("valid", set(), True),
    "adobe-20220124-E-clm-CAICAI.jpg": ("invalid", {"claim", "assertion"}, True),
    "adobe-20220124-E-dat-CA.jpg": ("invalid", {"content"}, False),
    "adobe-20220124-E-sig-CA.jpg": ("invalid", {"signature"}, False),
    "adobe-20220124-E-uri-CA.jpg": ("invalid", {"assertion"}, False),
    "adobe-20220124-E-uri-CIE-sig-CA.jpg": ("invalid", {"assertion"}, True),
    "adobe-20220124-XCA.jpg": ("invalid", {"content"}, False),
    "adobe-20220124-XCI.jpg": ("invalid", {"content"}, False),
    "nikon-20221019-building.jpeg": ("invalid", {"certificate"}, False),
    "truepic-20230212-camera.jpg": ("invalid", {"content"}, False),
    "truepic-20230212-landscape.jpg": ("invalid", {"content"}, False),
    "truepic-20230212-library.jpg": ("invalid", {"content"}, False),
}


def test_all_public_files_are_named(test_data: Path) -> None:
    found = {path.name for path in (test_data / "vectors/c2pa/image/jpeg").iterdir()}
    assert found == set(EXPECTED)
    assert len(found) == 26


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_public_file_gives_its_published_verdict(name: str, test_data: Path) -> None:
    path = test_data / "vectors/c2pa/image/jpeg" / name
    report = read_manifest(path, detect_format(path).mime, anchors_pem=())
    expected = EXPECTED[name]
    if expected is None:
        assert report is None
        return
    state, kinds, ingredient_fails = expected
    assert report is not None
    assert report.state == state
    assert {failure.kind for failure in report.failures} >= kinds
    if not kinds:
        assert report.failures == []
    assert bool(report.ingredient_failures) == ingredient_fails
    assert report.chain_der
    assert report.manifest_bytes
