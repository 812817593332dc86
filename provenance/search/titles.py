"""What records are called and look like: from the manifests that the own content store keeps."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from provenance.errors import VeilmarkError
from provenance.home import Home
from provenance.identity.certificates import printable
from provenance.interrupt import uninterrupted
from provenance.ledger.embedded.log import Entry
from provenance.manifest.read import Limited
from provenance.media.thumbnail import small_jpeg
from provenance.search.lookup import Lookup
from provenance.store.local import LocalStore
from provenance.verdict import SimilarRecord

#: So many records are described; each takes some milliseconds.
MAX_DESCRIBED = 100
THUMBNAIL_SIDE = 240
_MAX_PICTURE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Description:
    """Title of a record's manifest, and a small JPEG of what was signed where the manifest has a thumbnail."""

    title: str = ""
    thumbnail: bytes = field(default=b"", repr=False)

    def to_json(self) -> dict[str, str]:
        picture = base64.b64encode(self.thumbnail).decode()
        return {"title": self.title, "thumbnail": f"data:image/jpeg;base64,{picture}" if picture else ""}


def describe_records(records: Sequence[SimilarRecord], lookup: Lookup) -> dict[int, Description]:
    """Descriptions by the record's index in the log; see :func:`describe_entry`. Empty ones are left out."""
    found: dict[int, Description] = {}
    for record in records[:MAX_DESCRIBED]:
        described = describe_entry(lookup.ledger.entry(record.index), lookup.home)
        if described.title or described.thumbnail:
            found[record.index] = described
    return found


def describe_entry(entry: Entry, home: Home, *, side: int = THUMBNAIL_SIDE) -> Description:
    """Title and thumbnail of one record, as far as the home's store has its manifest and that can be read.

    Nothing is verified: a title is what the signer says.

    Args:
        side: of the thumbnail, its longer one in pixels, at most.
    """
    cid = entry.opening.signed.record.manifest_cid
    if not cid:
        return Description()
    try:
        return _described(LocalStore(home.store).get(cid), side)
    except VeilmarkError:
        return Description()


@uninterrupted()
def _described(manifest_store: bytes, side: int) -> Description:
    import c2pa

    settings = {"version": 1, "verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    picture = Limited(_MAX_PICTURE_BYTES)
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader("application/c2pa", io.BytesIO(manifest_store), context=context) as reader,
        ):
            manifest = reader.get_active_manifest() or {}
            thumbnail = (manifest.get("thumbnail") or {}).get("identifier")
            if thumbnail:
                reader.resource_to_stream(str(thumbnail), picture)
    except (c2pa.C2paError, OSError):
        return Description()
    title = printable(str(manifest.get("title") or ""), 400)
    try:
        return Description(title, small_jpeg(picture.getvalue(), side) if thumbnail else b"")
    except VeilmarkError:
        return Description(title)
