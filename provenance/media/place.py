"""Where and when a picture says that it was taken, and how to take the place out of it without touching its pixels.

The place is overwritten where it stands, in EXIF (tag 0x8825, GPS IFD; CIPA DC-008), in XMP packets (``exif:GPS...``,
city and country) and in IPTC-IIM; the file keeps its length, so that nothing else in it moves.
"""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import MediaError, UsageError
from provenance.media.files import replacing
from provenance.media.formats import detect_format
from provenance.media.picture import tells_location
from provenance.printable import printable

_GPS, _EXIF = 0x8825, 0x8769
_MOST_ENTRIES = 512
_MAX_BYTES = 1024**3
#: Formats whose metadata is found here.
_FORMATS = ("JPEG", "PNG", "WebP", "TIFF", "DNG", "HEIC", "HEIF", "AVIF")
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_HEADER = re.compile(rb"II\*\0|MM\0\*")
_PACKET = re.compile(rb"<x:xmpmeta.*?</x:xmpmeta>", re.S)
_NAMES = (
    rb"(?:exif:GPS\w+|photoshop:(?:City|State|Country)|Iptc4xmpCore:(?:Location|CountryCode)"
    rb"|Iptc4xmpExt:Location\w+)"
)
_SAID = re.compile(rb"%s\s*=\s*(?:\"[^\"]*\"|'[^']*')|<(%s)(?:\s[^>]*)?>.*?</\1\s*>" % (_NAMES, _NAMES), re.S)
#: IPTC-IIM datasets of record 2: city, sub-location, province, country code and name.
_IPTC = re.compile(rb"\x1c\x02[\x5a\x5c\x5f\x64\x65]")


@dataclass(frozen=True)
class Taken:
    """What a picture's EXIF says of how it was taken; empty where it says nothing.

    Attributes:
        time: as the camera wrote it, with its offset where it has one; not RFC 3339 without.
        device: maker and model.
        located: it says where.
        coordinates: latitude and longitude in degrees, where they can be read.
    """

    time: str = ""
    device: str = ""
    located: bool = False
    coordinates: tuple[float, float] | None = None


def read_taken(path: Path) -> Taken:
    """What the EXIF of a picture says; empty for what is no picture or cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            tags = image.getexif()
            details, place = tags.get_ifd(_EXIF), tags.get_ifd(_GPS)
    except Exception:
        return Taken()  # whoever decodes the picture says what is wrong with it
    maker, model = (_plain(tags.get(tag, "")) for tag in (0x010F, 0x0110))
    device = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    time = str(details.get(0x9003, "")).strip("\0 ")
    offset = str(details.get(0x9011, "")).strip("\0 ")
    if not re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", time):
        time = ""
    elif re.fullmatch(r"[+-]\d\d:\d\d", offset):
        time += offset
    time = time[:10].replace(":", "-") + time[10:].replace(" ", "T")
    return Taken(time, device.strip(), bool(place), _degrees(place))


def remove_location(source: Path, target: Path) -> None:
    """Copy a picture without what it says about where it was taken. Its pixels stay as they are, bit for bit.

    Raises:
        UsageError: a format in which the place cannot be found.
        MediaError: it still tells the place afterwards, so it is written in a form that is not known here.
        MissingPathError, NotWritableError.
    """
    form = detect_format(source)
    if form.name not in _FORMATS or source.stat().st_size > _MAX_BYTES:
        raise UsageError(
            f"the place cannot be taken out of {form.name} here", hint="remove it with another program first"
        )
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        data = bytearray(temporary.read_bytes())
        for start, end in _blocks(data, form.name):
            _blank_gps(data, start, end)
        for packet in _PACKET.finditer(bytes(data)):
            for said in _SAID.finditer(packet[0]):
                at = packet.start() + said.start()
                data[at : at + len(said[0])] = b" " * len(said[0])
        if form.name == "JPEG":
            for start, end in _segments(data, 0xED):
                _blank_iptc(data, start, end)
        if form.name == "PNG":
            _mend_checksums(data)
        temporary.write_bytes(data)
        if tells_location(temporary):
            raise MediaError(
                f"{source} says in an unknown way where it was taken",
                hint="remove the place with another program first",
            )


def _plain(value: object) -> str:
    return "".join(one for one in str(value) if one.isprintable()).strip()[:80]


def _degrees(place: dict[int, object]) -> tuple[float, float] | None:
    found = []
    for reference, tag, negative in ((1, 2, "S"), (3, 4, "W")):
        value = place.get(tag)
        try:
            degrees, minutes, seconds = (float(one) for one in value)  # type: ignore[attr-defined]
        except (TypeError, ValueError, ZeroDivisionError):
            return None
        size = degrees + minutes / 60 + seconds / 3600
        found.append(-size if str(place.get(reference, "")).startswith(negative) else size)
    return (found[0], found[1]) if abs(found[0]) <= 90 and abs(found[1]) <= 180 else None


def _blocks(data: bytearray, name: str) -> Iterator[tuple[int, int]]:
    """Where TIFF structures with EXIF begin and end."""
    if name in ("TIFF", "DNG"):
        yield 0, len(data)
    elif name == "JPEG":
        for start, end in _segments(data, 0xE1):
            if data[start : start + 6] == b"Exif\0\0":
                yield start + 6, end
    elif name == "PNG":
        for kind, start, end in _chunks(data):
            if kind == b"eXIf":
                yield start, end
    else:  # WebP, HEIF, AVIF: a header that only stands where EXIF begins
        for found in _HEADER.finditer(bytes(data)):
            yield found.start(), len(data)


def _blank_gps(data: bytearray, start: int, end: int) -> None:
    """Zero the GPS IFD of a TIFF structure, and its values."""
    order = "<" if data[start : start + 2] == b"II" else ">"

    def number(at: int, kind: str) -> int:
        size = struct.calcsize(kind)
        whole = bytes(data[at : at + size])
        return int(struct.unpack(order + kind, whole)[0]) if start <= at <= end - size else 0

    for entry in _entries(number, start, number(start + 4, "I"), end):
        if number(entry, "H") != _GPS:
            continue
        directory = number(entry + 8, "I")
        inside = list(_entries(number, start, directory, end))
        for value in inside:
            size = _SIZES.get(number(value + 2, "H"), 1) * number(value + 4, "I")
            at = start + number(value + 8, "I")
            if size > 4 and start < at and at + size <= end:
                data[at : at + size] = bytes(size)
        for value in inside:
            data[value : value + 12] = bytes(12)
        if inside:
            data[inside[0] - 2 : inside[0]] = b"\0\0"  # a directory without entries


def _entries(number: Callable[[int, str], int], start: int, directory: int, end: int) -> Iterator[int]:
    at = start + directory
    if not directory or at + 2 > end:
        return
    for place in range(min(number(at, "H"), _MOST_ENTRIES)):
        if at + 2 + 12 * place + 12 > end:
            return
        yield at + 2 + 12 * place


def _segments(data: bytearray, marker: int) -> Iterator[tuple[int, int]]:
    """Contents of a JPEG's segments of one kind, before its pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == marker:
            yield at + 4, min(at + 2 + length, len(data))
        at += 2 + max(length, 2)


def _chunks(data: bytearray) -> Iterator[tuple[bytes, int, int]]:
    """A PNG's chunks: kind, start and end of their contents."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            return
        yield bytes(data[at + 4 : at + 8]), at + 8, at + 8 + length
        at += 12 + length


def _blank_iptc(data: bytearray, start: int, end: int) -> None:
    for found in _IPTC.finditer(bytes(data[start:end])):
        at = start + found.end()
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 0x8000 and at + 2 + length <= end:
            data[at + 2 : at + 2 + length] = b" " * length


def _mend_checksums(data: bytearray) -> None:
    for kind, start, end in list(_chunks(data)):
        if kind in (b"eXIf", b"iTXt"):
            data[end : end + 4] = zlib.crc32(data[start - 4 : end]).to_bytes(4, "big")
