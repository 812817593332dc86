"""WAV and AVI are signed as a stream, in little memory; both verifiers accept what is written."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.credential import load_credential
from provenance.identity.identity import Identity, create_identity
from provenance.manifest import jumbf
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.manifest.report import ManifestState
from provenance.manifest.riff import faults_of_written, layout_of
from provenance.media.formats import FORMATS
from tests.support.certificates import pem_of
from tests.support.media_files import MAKERS
from tests.support.second_verifier import second_opinion

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe", algorithm="es384")


@pytest.mark.parametrize("name", ["WAV", "AVI"])
def test_what_is_written_verifies_and_is_replaced(name: str, tmp_path: Path, signer: Identity) -> None:
    source, mime, root = tmp_path / "in", FORMATS[name].mime, certificates.to_pem([signer.root])
    MAKERS[name](source)
    key, authority_key = certificates.generate_key("es256"), certificates.generate_key("es256")
    authority = certificates.make_root(authority_key, "Example Identities")
    leaf = certificates.make_leaf(authority, authority_key, key.public_key(), "Jane Q. Public")
    (tmp_path / "jane.pem").write_text(certificates.to_pem([leaf, authority]))
    (tmp_path / "jane.key").write_bytes(pem_of(key))
    (tmp_path / "jane.key").chmod(0o600)
    person = load_credential(tmp_path / "jane.pem", tmp_path / "jane.key")
    before = source.read_bytes()
    for number, spec in enumerate(
        (
            ManifestSpec(title="plain"),
            ManifestSpec(author="Jane", credential=person),
            ManifestSpec(extra_assertions=(("org.example.long", {"text": "x" * 70_000}),)),
        )
    ):
        output = tmp_path / f"out{number}"
        store = sign_manifest(source, output, spec, signer)
        report = read_manifest(output, mime, anchors_pem=[root])
        theirs = second_opinion(output, mime, anchors_pem=root)
        assert report is not None and report.state is ManifestState.TRUSTED
        assert (theirs.word, theirs.trusted) == ("whole", True)
        named = "cawg.identity" in jumbf.assertion_labels(store, jumbf.active_label(store))
        assert named is (spec.credential is not None)
        assert output.read_bytes()[8 : len(before)] == before[8:]
        assert faults_of_written(output, mime, store, [root]) == []

    again = tmp_path / "again"
    store = sign_manifest(tmp_path / "out0", again, ManifestSpec(), signer)
    report = read_manifest(again, mime, anchors_pem=[root])
    assert report is not None and report.state is ManifestState.TRUSTED and len(report.ingredients) == 1
    layout = layout_of(again)
    assert layout is not None and (layout.start, layout.store_size) == (len(before), len(store))

    changed = bytearray(again.read_bytes())
    changed[len(before) // 2] ^= 1
    again.write_bytes(changed)
    assert faults_of_written(again, mime, store, [root]) == ["assertion.dataHash.mismatch"]
    changed[len(before) // 2] ^= 1
    changed[-40] ^= 1
    again.write_bytes(changed)
    assert faults_of_written(again, mime, store, [root]) == ["assertion.dataHash.mismatch"]
    assert faults_of_written(source, mime, store, [root]) == ["claim.missing"]


def test_what_is_left_to_c2pa(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    MAKERS["WAV"](path)
    good = path.read_bytes()
    assert layout_of(path) is not None
    manifest = b"C2PA" + struct.pack("<I", 4) + b"abcd"
    between = good[:12] + manifest + good[12:]
    for odd in (
        good + b"after the end",
        good[:-1],
        b"RF64" + good[4:],
        good[:4] + struct.pack("<I", len(between) - 8) + between[8:],
        good[:40],
    ):
        path.write_bytes(odd)
        assert layout_of(path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in other units elsewhere")
def test_a_large_sound_takes_little_memory(tmp_path: Path) -> None:
    samples = 400_000_000
    source = tmp_path / "long.wav"
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 48_000, 96_000, 2, 16)
    head += b"data" + struct.pack("<I", samples)
    source.write_bytes(b"RIFF" + struct.pack("<I", len(head) + samples) + head)
    with source.open("r+b") as stream:
        stream.truncate(8 + len(head) + samples)
    program = r"""
import re, sys
from pathlib import Path
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.riff import faults_of_written
source, output, root = map(Path, sys.argv[1:])
signer = create_identity(Home(root, root / "config"), subject="Jane Doe")
store = sign_manifest(source, output, ManifestSpec(), signer)
assert faults_of_written(output, "audio/wav", store, [certificates.to_pem([signer.root])]) == []
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""
    words = [sys.executable, "-c", program, str(source), str(tmp_path / "out.wav"), str(tmp_path / "home")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 250_000  # KiB
    source.unlink()
    (tmp_path / "out.wav").unlink()
