"""The place is taken out of a picture; its pixels and everything else stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.errors import UsageError
from provenance.media.picture import tells_location
from provenance.media.place import read_taken, remove_location

XMP = (
    b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description exif:GPSLatitude="48,8.2N" '
    b'photoshop:City="Munich" dc:title="Tower"><exif:GPSLongitude>11,34.5E</exif:GPSLongitude>'
    b"</rdf:Description></x:xmpmeta>"
)


def located(path: Path, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Nikon", "Z 6"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:22 10:00:00"
    exif.get_ifd(0x8769)[0x9011] = "+01:00"
    place = exif.get_ifd(0x8825)
    place.update({1: "N", 2: (48.0, 8.0, 14.0), 3: "W", 4: (11.0, 34.0, 31.0)})
    noise = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, exif=exif.tobytes(), **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_the_place_goes_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    source = located(tmp_path / f"a.{suffix}")
    target = tmp_path / f"b.{suffix}"
    assert tells_location(source)
    remove_location(source, target)
    assert not tells_location(target)
    assert target.stat().st_size == source.stat().st_size
    with Image.open(source) as before, Image.open(target) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
    taken = read_taken(target)
    assert (taken.device, taken.time) == ("Nikon Z 6", "2026-11-22T10:00:00+01:00")
    assert taken.coordinates is None
    assert source.read_bytes() != target.read_bytes()


def test_what_exif_says(tmp_path: Path) -> None:
    taken = read_taken(located(tmp_path / "a.jpg"))
    assert taken.located and taken.coordinates is not None
    assert taken.coordinates == pytest.approx((48 + 8 / 60 + 14 / 3600, -(11 + 34 / 60 + 31 / 3600)))


def test_xmp_and_iptc_lose_the_place_too(tmp_path: Path) -> None:
    source = located(tmp_path / "a.jpg", xmp=XMP)
    data = source.read_bytes()
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x0f\x1c\x02\x5a\x00\x06Munich\x1c\x02\x69\x00\x01A"
    data = data[:2] + b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc + data[2:]
    source.write_bytes(data)
    remove_location(source, tmp_path / "b.jpg")
    clean = (tmp_path / "b.jpg").read_bytes()
    assert b"Munich" in data and b"48,8.2N" in data
    for secret in (b"Munich", b"48,8.2N", b"11,34.5E"):
        assert secret not in clean
    assert b'dc:title="Tower"' in clean and len(clean) == len(data)


def test_a_format_that_is_not_known_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    Image.new("RGB", (4, 4)).save(source)
    with pytest.raises(UsageError, match="cannot be taken out"):
        remove_location(source, tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_damaged_exif_does_no_harm(tmp_path: Path, at: int) -> None:
    source = located(tmp_path / "a.jpg")
    data = bytearray(source.read_bytes())
    data[20 + at] ^= 0xFF
    source.write_bytes(data)
    try:
        remove_location(source, tmp_path / "b.jpg")
    except Exception as error:
        assert type(error).__module__ == "provenance.errors", error
    else:
        assert not tells_location(tmp_path / "b.jpg")
