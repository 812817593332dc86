"""Where a file's manifest is: inside, beside, at an address, or there but in a form that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from provenance.errors import CheckError
from provenance.identity.certificates import printable
from provenance.interrupt import uninterrupted
from provenance.manifest.read import unread_form
from provenance.media.formats import Format

#: What every XMP packet that names an address of a manifest holds (``dcterms:provenance``, C2PA 2.4, 11.5).
_ADDRESS = b"provenance"
_APP1, _APP11 = 0xE1, 0xEB


class Place(StrEnum):
    """Where a manifest is."""

    NOWHERE = "nowhere"
    INSIDE = "inside"
    REMOTE = "remote"  #: only an address is inside
    UNREADABLE = "unreadable"  #: of a draft or a later version of the format, or damaged


@dataclass(frozen=True)
class Presence:
    """Where a manifest is, and why it cannot be read there: its address, or what is wrong with it."""

    place: Place
    detail: str = ""


@uninterrupted()
def find_manifest(path: Path, media: Format) -> Presence:
    """Look for a manifest inside a file; nothing is verified and nothing is fetched."""
    import c2pa

    if not media.embeddable:
        return Presence(Place.NOWHERE)
    settings = {"version": 1, "verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    with path.open("rb") as stream:
        if media.name == "JPEG" and not _jpeg_may_have_one(stream):
            return Presence(Place.NOWHERE)
        stream.seek(0)
        try:
            with c2pa.Context.from_dict(settings) as context:
                reader = c2pa.Reader.try_create(media.mime, stream, context=context)
                if reader is not None:
                    reader.close()
                    return Presence(Place.INSIDE)
            error = None
        except c2pa.C2paError.NotSupported:
            return Presence(Place.NOWHERE)
        except c2pa.C2paError as failure:
            if str(failure).startswith("Remote"):
                return Presence(Place.REMOTE, printable(str(failure), 300))
            error = failure
    with path.open("rb") as stream:
        why = unread_form(stream, error)
    return Presence(Place.UNREADABLE, why) if why else Presence(Place.NOWHERE)


def refuse_unread(path: Path, found: Presence) -> None:
    """CheckError where a file has a manifest that was not read: signing would drop it without a word."""
    if found.place is Place.REMOTE:
        raise CheckError(
            f"the manifest of {path} is not inside but at an address: {found.detail}",
            hint="add --online to fetch it and keep it as the parent, or name the parent with --parent FILE",
        )
    if found.place is Place.UNREADABLE:
        raise CheckError(
            f"{path} has a credential that cannot be read: {found.detail}",
            hint="save a copy without it, and sign that with --parent and the name of this file",
        )


def _jpeg_may_have_one(stream: BinaryIO) -> bool:
    """Whether a JPEG has a JUMBF segment, or XMP with an address, before its picture data (ITU-T T.81, B.1.1); most
    have neither, and to know that its first few hundred bytes are enough."""
    stream.seek(2)
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        length = int.from_bytes(head[2:], "big") - 2
        if head[1] == _APP11 or (head[1] == _APP1 and _ADDRESS in stream.read(length)):
            return True
        stream.seek(length if head[1] != _APP1 else 0, 1)
    # anything odd is for the real parser to judge
    return len(head) < 4 or head[0] != 0xFF
