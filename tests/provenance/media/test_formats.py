"""One path for every format: recognise, sign, verify, tamper with one byte, verify again."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.errors import CheckError, CorruptMediaError, UnknownFormatError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.media.formats import ANY_FILE, FORMATS, Format, detect_format
from provenance.media.picture import open_picture
from tests.support.media_files import MAKERS, gradient

av = pytest.importorskip("av", reason="needs the development package av (PyAV)")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of every format under a name that says nothing, each made once."""
    folder = tmp_path_factory.mktemp("formats")

    def get(name: str) -> Path:
        path = folder / f"{name}.bin"
        if not path.exists():
            proper = folder / f"{name}{FORMATS[name].suffix}"
            MAKERS[name](proper)
            proper.rename(path)
        return path

    return get


def _decoded(path: Path, media: Format) -> list[bytes]:
    """What a person would see or hear."""
    if media.kind == "document":
        data = path.read_bytes()
        with Image.open(io.BytesIO(data[data.index(b"\xff\xd8\xff") :])) as image:
            return [image.convert("RGB").tobytes()]
    if media.kind == "image":
        if media.name == "HEIC":
            return [open_picture(path).pixels.tobytes()]
        with Image.open(path) as image:
            frames = range(getattr(image, "n_frames", 1))
            return [(image.seek(index), image.convert("RGB").tobytes())[1] for index in frames]
    with av.open(str(path)) as container:
        return [bytes(np.ascontiguousarray(frame.to_ndarray())) for frame in container.decode(0)]


def test_a_pdf_that_is_signed_as_pdf_stays_untouched(
    made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    source = tmp_path / "contract.pdf"
    padding = b"%" + b"x" * (1024 * 1024 - 5)  # the mark lies across two blocks
    source.write_bytes(made("PDF").read_bytes() + padding + b"\n<</Type/Sig/ByteRange[0 1 2 3]>>\n%%EOF")
    with pytest.raises(UsageError, match="signature of its own") as caught:
        sign_manifest(source, tmp_path / "out.pdf", ManifestSpec(), signer)
    assert "veilmark record" in caught.value.hint
    assert not (tmp_path / "out.pdf").exists()


def test_a_pdf_that_cannot_hold_a_manifest_is_said(
    made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    whole = made("PDF").read_bytes()
    for broken in (whole[: len(whole) // 2], whole.replace(b"/Root", b"/Encrypt 1 0 R /Root")):
        (tmp_path / "in.pdf").write_bytes(broken)
        with pytest.raises(CorruptMediaError, match="cannot be signed"):
            sign_manifest(tmp_path / "in.pdf", tmp_path / "out.pdf", ManifestSpec(), signer)


def test_every_format_has_a_maker() -> None:
    assert set(MAKERS) == set(FORMATS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_format_is_recognised_by_its_bytes(name: str, made: Callable[[str], Path]) -> None:
    assert detect_format(made(name)).name == name
    assert detect_format(made(name).read_bytes()).name == name


@pytest.mark.parametrize("name", MAKERS)
def test_sign_verify_tamper_verify(
    name: str, made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    source, output, media = made(name), tmp_path / "out", FORMATS[name]
    anchors = [certificates.to_pem([signer.root])]
    spec = ManifestSpec(title=name, fingerprints={"pdq": "0f" * 32})
    store = sign_manifest(source, output, spec, signer, media=media)
    sidecar = None if media.embeddable else store
    if sidecar:
        assert output.read_bytes() == source.read_bytes()
        assert read_manifest(output, media.mime, anchors_pem=anchors) is None
    assert detect_format(output) == media
    assert _decoded(output, media) == _decoded(source, media)

    report = read_manifest(output, media.mime, anchors_pem=anchors, manifest_data=sidecar)
    assert report is not None
    assert report.state == "trusted"
    assert report.title == name
    assert report.manifest_bytes == store
    assert report.chain_der == signer.chain_der

    data, original = bytearray(output.read_bytes()), source.read_bytes()
    middle = len(original) * 2 // 3
    place = data.find(original[middle : middle + 24])
    assert place > 0, "the content must be carried over as it is"
    data[place + 12] ^= 0x01
    output.write_bytes(data)
    report = read_manifest(output, media.mime, anchors_pem=anchors, manifest_data=sidecar)
    assert report is not None
    assert report.state == "invalid"
    assert {failure.kind for failure in report.failures} == {"content"}


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.embeddable])
def test_signing_twice_keeps_the_first_manifest(
    name: str, made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    media = FORMATS[name]
    sign_manifest(made(name), tmp_path / "one", ManifestSpec(title="one"), signer, media=media)
    sign_manifest(tmp_path / "one", tmp_path / "two", ManifestSpec(title="two"), signer, media=media)
    report = read_manifest(tmp_path / "two", media.mime, anchors_pem=[signer.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    assert report.ingredients[0]["manifest"]["title"] == "one"
    assert _decoded(tmp_path / "two", media) == _decoded(made(name), media)


@pytest.mark.parametrize("name", ["JPEG", "BMP", "MP4", "WebM"])
def test_a_side_car_of_another_file_does_not_fit(
    name: str, made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    media = FORMATS["BMP"]
    store = sign_manifest(made("BMP"), tmp_path / "bmp", ManifestSpec(), signer, media=media)
    other = tmp_path / "other"
    other.write_bytes(made(name).read_bytes()[:-1] + b"!")
    report = read_manifest(other, FORMATS[name].mime, anchors_pem=[signer.chain_pem], manifest_data=store)
    assert report is not None
    assert report.state == "invalid"


def test_any_file_gets_a_side_car(tmp_path: Path, signer: Identity) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("minutes of the meeting\n" * 10)
    with pytest.raises(UnknownFormatError):
        sign_manifest(source, tmp_path / "no", ManifestSpec(), signer)
    store = sign_manifest(source, tmp_path / "out", ManifestSpec(), signer, media=ANY_FILE)
    report = read_manifest(
        tmp_path / "out", ANY_FILE.mime, anchors_pem=[signer.chain_pem], manifest_data=store
    )
    assert report is not None
    assert report.state == "trusted"
    (tmp_path / "out").write_text("minutes of another meeting\n" * 10)
    report = read_manifest(
        tmp_path / "out", ANY_FILE.mime, anchors_pem=[signer.chain_pem], manifest_data=store
    )
    assert report is not None
    assert report.state == "invalid"


def test_a_signed_side_car_parent_keeps_its_manifest(
    made: Callable[[str], Path], tmp_path: Path, signer: Identity
) -> None:
    store = sign_manifest(made("BMP"), tmp_path / "a", ManifestSpec(title="a"), signer, media=FORMATS["BMP"])
    spec = ManifestSpec(relation="edited", title="b", parents=[Parent(tmp_path / "a", manifest_data=store)])
    sign_manifest(made("PNG"), tmp_path / "b", spec, signer)
    report = read_manifest(tmp_path / "b", "image/png", anchors_pem=[signer.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    assert report.ingredients[0]["manifest"]["title"] == "a"


def test_nonsense_as_a_side_car_is_invalid(made: Callable[[str], Path]) -> None:
    report = read_manifest(made("BMP"), "image/bmp", anchors_pem=(), manifest_data=b"nonsense")
    assert report is not None
    assert report.state == "invalid"
    assert report.failures[0].kind == "claim"
    with pytest.raises(CheckError):
        read_manifest(made("BMP"), "image/bmp", anchors_pem=(), manifest_data=bytes(65 * 1024 * 1024))


@pytest.mark.parametrize(
    "head",
    [
        b"BM" + b"hello world, this is no bitmap",
        b"RIFF\x00\x00\x00\x00ABCD",
        b"\xff\xfe\xff\xff" * 4,
        struct.pack(">I4s", 16, b"abcd") + b"x" * 16,
        b"II*\x00",
        b"ID3",
        b"II" + bytes(30),
        b"\x00",
    ],
)
def test_near_misses_are_unknown(head: bytes) -> None:
    with pytest.raises(UnknownFormatError):
        detect_format(head)


def test_heic_opens_upright(made: Callable[[str], Path]) -> None:
    pytest.importorskip("pi_heif", reason="needs the optional package pi-heif")
    picture = open_picture(made("HEIC"))
    assert picture.format.name == "HEIC"
    assert np.abs(picture.pixels.astype(int) - gradient()).mean() < 25
    assert io.BytesIO(picture.pixels.tobytes()).getbuffer().nbytes == 64 * 48 * 3


def test_the_documented_table_is_the_one_in_force() -> None:
    table = (Path(__file__).parents[3] / "docs/reference/formats.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    stated = {row[0]: (row[1], row[2], row[3] == "inside") for row in rows if len(row) == 5}
    assert stated == {name: (one.mime, one.kind, one.embeddable) for name, one in FORMATS.items()}
