"""An independent verifier says the same of the public files and of everything that is written here.

Where it does not, docs/reference/second-verifier.md says why.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.credential import load_credential
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.media.formats import FORMATS
from provenance.record import Relation
from tests.support.certificates import pem_of
from tests.support.media_files import MAKERS
from tests.support.second_verifier import first_opinion, second_opinion

PAGE = Path(__file__).parents[3] / "docs/reference/second-verifier.md"
UNREAD = {"BMP", "WebM", "MKV"}
DIFFERENCES = {
    "adobe-20220124-E-uri-CIE-sig-CA.jpg": ("invalid", "whole"),
    "redacted-assertion.jpg": ("whole", "invalid"),
    "dash-1.m4s": ("whole", "invalid"),
    "signed-fragments": ("whole", "invalid"),  # test_fragment_signer.py
}
#: Words of the two verifiers for the same fault.
_SAME = {"claimSignature.outsideValidity": "signingCredential.expired"}
WILD = ("cawg-identity.jpg", "redacted-assertion.jpg", "sidecar-and-url.jpg", "tampered-parent.jpg")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


def test_the_page_names_every_difference() -> None:
    rows = re.findall(r"^\| (\S+) \| (\w+) \| (\w+) \| .{40,} \|$", PAGE.read_text(), re.M)
    assert {name: (ours, theirs) for name, ours, theirs in rows} == DIFFERENCES


@pytest.mark.vectors
def test_both_say_the_same_of_the_public_files(test_data: Path) -> None:
    files = sorted((test_data / "vectors/c2pa/image/jpeg").iterdir())
    files += [test_data / "vectors/c2pa-wild" / name for name in WILD]
    assert len(files) == 30
    for path in files:
        beside = path.with_name(f"{path.name}.c2pa")
        sidecar = beside if beside.exists() else None
        data = sidecar.read_bytes() if sidecar else None
        ours = first_opinion(read_manifest(path, "image/jpeg", anchors_pem=(), manifest_data=data))
        theirs = second_opinion(path, "image/jpeg", sidecar=sidecar)
        words = (ours.word, theirs.word)
        assert words == DIFFERENCES.get(path.name, (ours.word, ours.word)), path.name
        if words == ("invalid", "invalid"):
            assert ours.codes <= {_SAME.get(code, code) for code in theirs.codes}, path.name


@pytest.mark.vectors
def test_both_say_that_a_manifest_lies_elsewhere(test_data: Path) -> None:
    path = test_data / "vectors/c2pa-wild/remote-manifest.jpg"
    assert second_opinion(path, "image/jpeg").word == "elsewhere"


@pytest.mark.vectors
def test_the_other_verifier_misses_the_claim_of_the_public_fragments(test_data: Path) -> None:
    folder = test_data / "vectors/c2pa-wild"
    theirs = second_opinion(folder / "dash-init.mp4", "video/mp4", fragments=[folder / "dash-1.m4s"])
    assert theirs.word == DIFFERENCES["dash-1.m4s"][1]
    assert "claimSignature.missing" in theirs.codes


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in UNREAD])
def test_both_accept_every_format_and_find_one_changed_bit(
    name: str, tmp_path: Path, signer: Identity
) -> None:
    media, output = FORMATS[name], tmp_path / "out"
    source = tmp_path / f"in{media.suffix}"
    MAKERS[name](source)
    root = certificates.to_pem([signer.root])
    store = sign_manifest(source, output, ManifestSpec(title=name), signer, media=media)
    sidecar = None if media.embeddable else store
    theirs = second_opinion(output, media.mime, sidecar=sidecar, anchors_pem=root)
    assert (theirs.word, theirs.trusted, theirs.codes) == ("whole", True, frozenset())
    assert not second_opinion(output, media.mime, sidecar=sidecar).trusted

    data, content = bytearray(output.read_bytes()), source.read_bytes()
    middle = len(content) * 2 // 3
    data[data.index(content[middle : middle + 24]) + 12] ^= 1
    output.write_bytes(data)
    ours = first_opinion(
        read_manifest(output, media.mime, anchors_pem=[root], manifest_data=sidecar),
    )
    theirs = second_opinion(output, media.mime, sidecar=sidecar, anchors_pem=root)
    assert (ours.word, theirs.word) == ("invalid", "invalid")
    assert ours.codes == theirs.codes


def test_formats_that_the_other_verifier_does_not_read(tmp_path: Path) -> None:
    for name in UNREAD:
        MAKERS[name](tmp_path / "file")
        with pytest.raises(ValueError, match="unsupported_mime"):
            second_opinion(tmp_path / "file", FORMATS[name].mime)


def test_both_accept_what_is_written_about_a_file(
    tmp_path: Path, portrait_files: dict[str, Path], signer: Identity
) -> None:
    photo, root = portrait_files["hopper"], certificates.to_pem([signer.root])
    shot = tmp_path / "shot.jpg"
    sign_manifest(photo, shot, ManifestSpec(title="shot", thumbnail=True), signer)
    key = certificates.generate_key("es256")
    authority_key = certificates.generate_key("es256")
    authority = certificates.make_root(authority_key, "Example Identities")
    leaf = certificates.make_leaf(authority, authority_key, key.public_key(), "Jane Q. Public")
    (tmp_path / "jane.pem").write_text(certificates.to_pem([leaf, authority]))
    (tmp_path / "jane.key").write_bytes(pem_of(key))
    (tmp_path / "jane.key").chmod(0o600)
    person = load_credential(tmp_path / "jane.pem", tmp_path / "jane.key")
    for name, spec in {
        "capture": ManifestSpec(
            author="Jane",
            device="Canon R5",
            captured_at="2026-11-22T10:00:00Z",
            location=(1.5, -2.5),
            fingerprints={"pdq": "0f" * 32},
            thumbnail=True,
        ),
        "edit": ManifestSpec(relation=Relation.EDITED, parents=[Parent(shot), Parent(photo, "componentOf")]),
        "cloak": ManifestSpec(relation=Relation.CLOAKED, parents=[Parent(shot, embed=False)]),
        "synthetic": ManifestSpec(relation=Relation.SYNTHETIC, parents=[Parent(shot, "inputTo")]),
        "identity": ManifestSpec(credential=person),
    }.items():
        output = tmp_path / f"{name}.jpg"
        sign_manifest(photo, output, spec, signer)
        ours = first_opinion(read_manifest(output, "image/jpeg", anchors_pem=[root]))
        theirs = second_opinion(output, "image/jpeg", anchors_pem=root)
        assert (ours.word, ours.trusted) == ("whole", True), name
        assert (theirs.word, theirs.trusted) == ("whole", True), (name, theirs.codes)
