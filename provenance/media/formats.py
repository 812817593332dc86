"""Which format a file has, decided by its bytes and never by its name."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import CorruptMediaError, MissingPathError, UnknownFormatError

#: What is added to a file's name to call the manifest beside it.
SIDECAR_SUFFIX = ".c2pa"
RECEIPT_SUFFIX = ".receipt"
#: How many leading bytes are looked at.
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Format:
    """A media format.

    Attributes:
        name: short upper-case name, ``JPEG``, ``PNG``, ``MP4`` ...
        mime: media type.
        suffix: usual file name suffix, with dot.
        kind: ``image``, ``video``, ``audio``, ``document`` or ``other``.
        embeddable: whether a C2PA manifest can be put inside; otherwise it lies beside (``.c2pa``).
    """

    name: str
    mime: str
    suffix: str
    kind: str
    embeddable: bool


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("JPEG", "image/jpeg", ".jpg", "image", True),
        Format("PNG", "image/png", ".png", "image", True),
        Format("WebP", "image/webp", ".webp", "image", True),
        Format("TIFF", "image/tiff", ".tif", "image", True),
        Format("GIF", "image/gif", ".gif", "image", True),
        Format("AVIF", "image/avif", ".avif", "image", True),
        Format("HEIC", "image/heic", ".heic", "image", True),
        Format("DNG", "image/x-adobe-dng", ".dng", "image", True),
        Format("BMP", "image/bmp", ".bmp", "image", False),
        Format("MP4", "video/mp4", ".mp4", "video", True),
        Format("MOV", "video/quicktime", ".mov", "video", True),
        Format("AVI", "video/x-msvideo", ".avi", "video", True),
        Format("WebM", "video/webm", ".webm", "video", False),
        Format("MKV", "video/x-matroska", ".mkv", "video", False),
        Format("M4A", "audio/mp4", ".m4a", "audio", True),
        Format("MP3", "audio/mpeg", ".mp3", "audio", True),
        Format("WAV", "audio/wav", ".wav", "audio", True),
        Format("FLAC", "audio/flac", ".flac", "audio", True),
        Format("OGG", "audio/ogg", ".ogg", "audio", False),
        Format("PDF", "application/pdf", ".pdf", "document", True),
    )
}
#: What ``--any-file`` calls a file whose bytes match nothing above.
ANY_FILE = Format("file", "application/octet-stream", "", "other", False)

_BRANDS_AVIF = (b"avif", b"avis")
_BRANDS_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS_AUDIO = (b"M4A ", b"M4B ", b"M4P ")


def printable_name(path: Path) -> str:
    """The file's name as text that any UTF-8 writer takes; bytes that are no text become U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def detect_format(source: Path | bytes, *, any_file: bool = False) -> Format:
    """The format of a file or of bytes; with ``any_file``, :data:`ANY_FILE` for bytes of no known format.

    Raises:
        MissingPathError: the path names no file.
        CorruptMediaError: the file is empty or cannot be read.
        UnknownFormatError: no known format starts like this.
    """
    head, shown = _head(source)
    if not head:
        raise CorruptMediaError(f"{shown} is empty")
    for recognise in _RECOGNISERS:
        name = recognise(head)
        if name:
            return FORMATS[name]
    if any_file:
        return ANY_FILE
    raise UnknownFormatError(
        f"{shown} is no picture, video, sound or PDF that veilmark knows ({_describe(head)})",
        hint=f"known formats: {', '.join(FORMATS)}",
    )


def _head(source: Path | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source[:HEAD_BYTES], "the input"
    try:
        with source.open("rb") as stream:
            return stream.read(HEAD_BYTES), str(source)
    except FileNotFoundError as error:
        raise MissingPathError(f"{source} does not exist") from error
    except IsADirectoryError as error:
        raise MissingPathError(f"{source} is a folder, a file was expected", hint="name a file") from error
    except OSError as error:
        raise CorruptMediaError(
            f"cannot read {source}: {error.strerror or error}", hint="check the file's permissions"
        ) from error


def _describe(head: bytes) -> str:
    try:
        head[:512].decode()
    except UnicodeDecodeError as error:
        # a character that the cut went through does not make a text binary
        if error.start < min(len(head), 512) - 4:
            return f"starts with bytes {head[:8].hex(' ')}"
    return "its content is text"


def _still(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM") and len(head) >= 26 and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return None


_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def _riff(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WEBP": "WebP", b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12])
    return None


def _tiff(head: bytes) -> str | None:
    """TIFF 6.0 and BigTIFF; DNG is a TIFF whose first directory has tag DNGVersion (50706)."""
    order = "<" if head[:2] == b"II" else ">" if head[:2] == b"MM" else ""
    if not order or len(head) < 8:
        return None
    version, directory = struct.unpack_from(f"{order}HI", head, 2)
    if version == 43:
        return "TIFF"
    if version != 42:
        return None
    tags = set()
    if directory + 2 <= len(head):
        (entries,) = struct.unpack_from(f"{order}H", head, directory)
        fits = (len(head) - directory - 2) // 12
        for index in range(min(entries, fits)):
            tags.add(struct.unpack_from(f"{order}H", head, directory + 2 + 12 * index)[0])
    return "DNG" if 50706 in tags else "TIFF"


def _iso_media(head: bytes) -> str | None:
    """ISO base media (ISO/IEC 14496-12): the brands in ``ftyp`` decide; old QuickTime has none."""
    if head[4:8] in (b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot"):
        return "MOV" if b"moov" in head[:HEAD_BYTES] or head[4:8] in (b"wide", b"mdat") else None
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), 4096, len(head))
    major = head[8:12]
    brands = [major] + [head[at : at + 4] for at in range(16, size - 3, 4)]
    if major in _BRANDS_AVIF:
        return "AVIF"
    if major in _BRANDS_HEIC:
        return "AVIF" if any(brand in _BRANDS_AVIF for brand in brands) else "HEIC"
    if major in _BRANDS_AUDIO:
        return "M4A"
    if major == b"qt  ":
        return "MOV"
    return "MP4"


def _matroska(head: bytes) -> str | None:
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "WebM" if b"webm" in head[:64] else "MKV"
    return None


def _sound(head: bytes) -> str | None:
    if head.startswith(b"fLaC"):
        return "FLAC"
    if head.startswith(b"OggS"):
        return "OGG"
    if head.startswith(b"ID3") and len(head) > 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return "FLAC" if head[10 + size : 14 + size] == b"fLaC" else "MP3"
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        # MPEG audio frame header (ISO/IEC 11172-3): layer III, a real bit rate and sampling rate
        is_layer_3 = head[1] & 0x06 == 0x02 and head[1] & 0x18 != 0x08
        if is_layer_3 and head[2] >> 4 not in (0, 15) and head[2] & 0x0C != 0x0C:
            return "MP3"
    return None


def _document(head: bytes) -> str | None:
    """PDF (ISO 32000-2, 7.5.2)."""
    return "PDF" if head.startswith(b"%PDF-") else None


_RECOGNISERS: tuple[Callable[[bytes], str | None], ...] = (
    _still,
    _riff,
    _tiff,
    _iso_media,
    _matroska,
    _document,
    _sound,
)


def with_suffix_added(path: Path, suffix: str) -> Path:
    """``FILE.suffix`` beside ``FILE``."""
    return path.with_name(path.name + suffix)
