"""Is a media file written to its end? A look at its structure, without decoding anything."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from provenance.media.formats import Format

_TAIL_BYTES = 64 * 1024
_MAX_BOXES = 100_000
_MAX_INDEX = 16 * 1024**2
_END_MARKS = {"JPEG": b"\xff\xd9", "GIF": b"\x3b", "PNG": b"IEND\xae\x42\x60\x82", "PDF": b"%%EOF"}


def is_whole(path: Path, media: Format) -> bool:
    """Whether a file's own structure says that it ends where it should.

    JPEG, GIF and PDF end with their end marker, PNG with IEND, RIFF files hold as many bytes as they announce, ISO
    media files end at a box's end and hold their index. Formats that do not announce their length count as
    whole.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if media.name in _END_MARKS:
            stream.seek(max(0, size - _TAIL_BYTES))
            return _END_MARKS[media.name] in stream.read(_TAIL_BYTES)
        if media.name in ("WebP", "WAV", "AVI"):
            return _riff_is_whole(stream, size)
        if media.name in ("MP4", "MOV", "M4A", "AVIF", "HEIC"):
            return _boxes_are_whole(stream, size)
        if media.name == "BMP":
            stream.seek(2)
            return size >= int.from_bytes(stream.read(4), "little")
    return True


def has_writer(path: Path) -> bool | None:
    """Whether some process has the file open for writing; None where the system does not tell.

    Linux grants a read lease only on files that nobody has open for writing (fcntl(2), F_SETLEASE); it does so
    for the owner of the file, on local file systems.
    """
    try:
        import fcntl

        lease, release = fcntl.F_SETLEASE, fcntl.F_UNLCK
    except (ImportError, AttributeError):
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(handle, lease, fcntl.F_RDLCK)
        fcntl.fcntl(handle, lease, release)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def _riff_is_whole(stream: BinaryIO, size: int) -> bool:
    """A recorder that streams writes 0 or 0xFFFFFFFF as length and fixes it at the end."""
    head = stream.read(8)
    if len(head) < 8:
        return False
    announced = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RF64" or announced == 0xFFFFFFFF:
        return True
    return 0 < announced <= size - 8


def is_initialization(path: Path) -> bool:
    """Whether an ISO media file is the initialization segment of a stream (DASH, HLS): its index says that there are
    fragments (``mvex``), and neither they nor other content are in it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        boxes = _top_boxes(stream, os.fstat(stream.fileno()).st_size)
        if not boxes or b"moov" not in boxes or {b"moof", b"mdat"} & set(boxes):
            return False
        at, length = boxes[b"moov"]
        stream.seek(at)
        return length <= _MAX_INDEX and b"mvex" in stream.read(length)


def _boxes_are_whole(stream: BinaryIO, size: int) -> bool:
    """An index (moov or meta) must be among the top-level boxes."""
    boxes = _top_boxes(stream, size)
    return boxes is not None and bool(set(boxes) & {b"moov", b"meta"})


def _top_boxes(stream: BinaryIO, size: int) -> dict[bytes, tuple[int, int]] | None:
    """Where the top-level boxes of each kind begin (the last of them) and how long it is (ISO/IEC 14496-12, 4.2); None
    where they do not end with the file.
    """
    boxes: dict[bytes, tuple[int, int]] = {}
    at = 0
    for _ in range(_MAX_BOXES):
        if at == size:
            return boxes
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8:
            return None
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        elif length == 0:
            length = size - at
        if length < 8 or at + length > size:
            return None
        boxes[kind] = (at, length)
        at += length
    return None
