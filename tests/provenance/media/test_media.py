"""Opening and saving pictures: limits, damage, colour, and what must not travel along."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from provenance.errors import (
    CorruptMediaError,
    MediaTooLargeError,
    MissingPathError,
    UnknownFormatError,
    UsageError,
)
from provenance.home import Home
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.media.files import sha256_file
from provenance.media.formats import ANY_FILE
from provenance.media.picture import detect_format, encode_picture, open_picture


def _bytes(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def face(portraits: dict[str, np.ndarray]) -> Image.Image:
    return Image.fromarray(portraits["astronaut"][:256, :200])


def _png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(_png_claiming(60_000, 60_000))
    start = time.monotonic()
    with pytest.raises(MediaTooLargeError, match="60000 x 60000") as caught:
        open_picture(bomb)
    assert time.monotonic() - start < 1.0
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_the_limit_is_the_callers_to_choose() -> None:
    data = _bytes(Image.new("RGB", (100, 100)), "PNG")
    assert open_picture(data, max_pixels=10_000).size == (100, 100)
    with pytest.raises(MediaTooLargeError):
        open_picture(data, max_pixels=9_999)


def test_pillows_own_limit_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    open_picture(_bytes(Image.new("L", (8, 8)), "PNG"))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_truncated_picture_is_corrupt(form: str, face: Image.Image) -> None:
    data = _bytes(face, form)
    with pytest.raises(CorruptMediaError):
        open_picture(data[: len(data) // 2])


def test_names_do_not_decide(tmp_path: Path, face: Image.Image) -> None:
    text = tmp_path / "letter.jpg"
    text.write_text("Dear reader,\n" * 20)
    with pytest.raises(UnknownFormatError, match="text"):
        detect_format(text)
    assert detect_format(text, any_file=True) == ANY_FILE
    with pytest.raises(UnknownFormatError):
        open_picture(text)

    disguised = tmp_path / "picture.txt"
    disguised.write_bytes(_bytes(face, "WEBP"))
    assert detect_format(disguised).name == "WebP"

    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(CorruptMediaError, match="empty"):
        detect_format(empty)
    with pytest.raises(MissingPathError):
        detect_format(tmp_path / "nowhere.jpg")
    with pytest.raises(MissingPathError):
        detect_format(tmp_path)


def test_orientation_is_applied_once(face: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(_bytes(face, "JPEG", exif=exif, quality=95))
    assert picture.size == (face.height, face.width)
    again = open_picture(encode_picture(picture, "JPEG"))
    assert again.size == picture.size
    stored = Image.open(io.BytesIO(encode_picture(picture, "JPEG")))
    assert stored.getexif()[0x0112] == 1


def _rich_exif(face: Image.Image) -> bytes:
    """EXIF as cameras write it, with place, maker note, and a thumbnail of the clean face in IFD1."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x013B] = "Canon", "EOS R5", "Jane Doe"
    exif[0x0112] = 1
    exif[0x8649] = _bytes(face.resize((40, 50)), "JPEG")
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x829A] = "2026:11:22 10:00:00", 0.01
    details[0x927C] = b"maker" * 50 + _bytes(face.resize((32, 40)), "JPEG")
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (48.0, 51.0, 30.0)
    body = exif.tobytes()
    tiff = body.removeprefix(b"Exif\x00\x00")
    thumbnail = _bytes(face.resize((60, 80)), "JPEG")
    # append a second directory with the thumbnail, and link it from the first
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    link = first + 2 + 12 * count
    second = len(tiff)
    data_at = second + 2 + 12 * 3 + 4
    directory = struct.pack(order + "H", 3)
    directory += struct.pack(order + "HHII", 0x0103, 3, 1, 6 if order == "<" else 6 << 16)
    directory += struct.pack(order + "HHII", 0x0201, 4, 1, data_at)
    directory += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail))
    directory += struct.pack(order + "I", 0)
    tiff = tiff[:link] + struct.pack(order + "I", second) + tiff[link + 4 :] + directory + thumbnail
    return b"Exif\x00\x00" + tiff


def _embedded_pictures(data: bytes) -> int:
    """How many further JPEG or PNG streams start inside a file."""
    return data.count(b"\xff\xd8\xff", 3) + data.count(b"\x89PNG", 4)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WebP", "TIFF"])
def test_no_preview_and_no_place_leaves_with_a_picture(form: str, face: Image.Image) -> None:
    source = _bytes(face, "JPEG", exif=_rich_exif(face), quality=95)
    assert _embedded_pictures(source) >= 3, "the fixture must hold previews"
    picture = open_picture(source)
    data = encode_picture(picture, form)
    assert _embedded_pictures(data) == 0
    tags = Image.open(io.BytesIO(data)).getexif()
    assert tags[0x010F] == "Canon"
    assert tags[0x013B] == "Jane Doe"
    assert tags.get_ifd(0x8769)[0x9003] == "2026:11:22 10:00:00"
    assert 0x927C not in tags.get_ifd(0x8769)
    assert not tags.get_ifd(0x8825)
    assert not tags.get_ifd(1)

    kept = Image.open(io.BytesIO(encode_picture(picture, form, keep_gps=True))).getexif()
    assert kept.get_ifd(0x8825)[1] == "N"


def test_colour_profiles_stay(face: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = open_picture(_bytes(face, "JPEG", icc_profile=profile))
    for form in ("JPEG", "PNG", "WebP", "TIFF"):
        assert Image.open(io.BytesIO(encode_picture(picture, form))).info["icc_profile"] == profile


def test_lossless_outputs_hold_exactly_the_pixels(face: Image.Image) -> None:
    picture = open_picture(_bytes(face, "PNG"))
    assert np.array_equal(picture.pixels, np.asarray(face))
    for form, quality in (("PNG", None), ("TIFF", None), ("WebP", 100), ("BMP", None)):
        again = open_picture(encode_picture(picture, form, quality=quality))
        assert np.array_equal(again.pixels, picture.pixels), form


def test_transparency_survives_where_the_format_has_it(face: Image.Image) -> None:
    see_through = face.copy()
    see_through.putalpha(Image.linear_gradient("L").resize(face.size))
    picture = open_picture(_bytes(see_through, "PNG"))
    assert picture.alpha is not None
    for form in ("PNG", "WebP", "TIFF"):
        again = open_picture(encode_picture(picture, form, quality=100 if form == "WebP" else None))
        assert again.alpha is not None
        assert np.array_equal(again.alpha, picture.alpha)
    assert open_picture(encode_picture(picture, "JPEG")).alpha is None


def test_grey_deep_and_printing_pictures_become_rgb(face: Image.Image) -> None:
    grey = open_picture(_bytes(face.convert("L"), "PNG"))
    assert grey.is_grey
    assert grey.pixels.shape == (256, 200, 3)
    assert Image.open(io.BytesIO(encode_picture(grey, "PNG"))).mode == "L"

    deep = np.asarray(face.convert("L")).astype(np.uint16) * 257
    opened = open_picture(_bytes(Image.fromarray(deep), "PNG"))
    assert np.array_equal(opened.pixels[..., 0], np.asarray(face.convert("L")))

    cmyk = open_picture(_bytes(face.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk.pixels.astype(int) - np.asarray(face)).mean() < 6

    palette = open_picture(_bytes(face.convert("P"), "GIF"))
    assert palette.pixels.shape == (256, 200, 3)


def test_fingerprints_may_ask_for_a_reduced_jpeg(face: Image.Image) -> None:
    data = _bytes(face.resize((1600, 2048)), "JPEG")
    reduced = open_picture(data, reduce_to=512, max_pixels=400 * 512)
    assert reduced.size == (400, 512)


def test_wrong_wishes_are_refused(face: Image.Image) -> None:
    picture = open_picture(_bytes(face, "PNG"))
    with pytest.raises(UsageError):
        encode_picture(picture, "HEIC")
    with pytest.raises(UsageError):
        encode_picture(picture, "JPEG", quality=0)


def test_file_hash(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == expected


def test_a_jpeg_that_holds_a_second_picture_shows_the_first_and_loses_the_second(face: Image.Image) -> None:
    """MPO, as phones and stereo cameras write it: the second picture may be the clean one."""
    data = _bytes(face, "MPO", save_all=True, append_images=[face.rotate(180)], quality=95)
    assert data.count(b"\xff\xd8\xff", 3) == 1
    picture = open_picture(data)
    assert picture.frames == 2
    assert np.abs(picture.pixels.astype(int) - np.asarray(face)).mean() < 4
    assert _embedded_pictures(encode_picture(picture, "JPEG")) == 0
    assert max(open_picture(data, reduce_to=64).size) < 256


def test_what_a_tiff_says_about_itself_is_carried_over(face: Image.Image) -> None:
    tags = Image.Exif()
    tags[0x013B], tags[0x8298] = "Jane Doe", "(c) Jane Doe"
    picture = open_picture(_bytes(face, "TIFF", exif=tags))
    for form in ("TIFF", "JPEG", "PNG"):
        kept = Image.open(io.BytesIO(encode_picture(picture, form))).getexif()
        assert (kept[0x013B], kept[0x8298]) == ("Jane Doe", "(c) Jane Doe")
    assert np.array_equal(open_picture(encode_picture(picture, "TIFF")).pixels, picture.pixels)


def test_a_signed_tiff_of_several_pages_still_opens(face: Image.Image, tmp_path: Path) -> None:
    """C2PA puts the manifest of such a file into a directory of its own, in which there is no picture."""
    home = Home(tmp_path / "home", tmp_path / "home" / "config")
    signer = create_identity(home, subject="Jane Doe")
    source, signed = tmp_path / "pages.tif", tmp_path / "signed.tif"
    face.save(source, save_all=True, append_images=[face.rotate(90), face.rotate(180)])
    sign_manifest(source, signed, ManifestSpec(), signer, media=detect_format(source))
    before, after = open_picture(source), open_picture(signed)
    assert before.frames == after.frames == 3
    assert np.array_equal(before.pixels, after.pixels)
