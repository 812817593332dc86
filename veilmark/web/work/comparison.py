"""A picture laid over the recorded one that it looks like, so that a person can compare them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from provenance.errors import VeilmarkError
from provenance.media.picture import open_picture
from provenance.search.titles import describe_entry
from provenance.verdict import SimilarRecord

if TYPE_CHECKING:
    from provenance.search.lookup import Lookup
    from provenance.verdict import Verdict
    from veilmark.web.work.gallery import Gallery

SIDE = 960
_MOST_TRIED = 5


def comparison(path: Path, verdict: Verdict, lookup: Lookup, gallery: Gallery) -> dict[str, Any] | None:
    """What ``compare.html`` shows of the first record that a picture looks like; None where there is nothing to show.

    The recorded picture is the thumbnail that its manifest has in the own store.
    """
    if verdict.media_type.partition("/")[0] != "image":
        return None
    for record in [one for one in verdict.similar if not one.exact][:_MOST_TRIED]:
        thumbnail = describe_entry(lookup.ledger.entry(record.index), lookup.home, side=SIDE).thumbnail
        if not thumbnail:
            continue
        try:
            yours = open_picture(path, reduce_to=2 * SIDE).pixels
        except VeilmarkError:
            return None
        recorded = Image.open(io.BytesIO(thumbnail))
        over = _laid_over(yours, record, recorded)
        return {
            "number": record.index,
            "href": f"/ledger/{record.index}",
            "width": recorded.width,
            "height": recorded.height,
            "outline": record.outline if over else None,
            "recorded": gallery.add(thumbnail),
            "yours": gallery.add(_jpeg(_small(yours))),
            "over": gallery.add(_jpeg(over)) if over else "",
        }
    return None


def _laid_over(yours: np.ndarray, record: SimilarRecord, recorded: Image.Image) -> Image.Image | None:
    """Your picture where it lies in the recorded one; None where that is not known."""
    import cv2

    whole = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    outline = record.outline or (whole if record.transform in ("", "upright") else None)
    if outline is None or len(outline) != 4:
        return None
    height, width = yours.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    target = np.float32(outline) * np.float32([recorded.width, recorded.height])
    matrix = cv2.getPerspectiveTransform(corners, target)
    base = np.asarray(recorded.convert("RGB"))
    laid = cv2.warpPerspective(
        yours, matrix, (recorded.width, recorded.height), base // 3, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT
    )
    return Image.fromarray(laid)


def _small(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return image


def _jpeg(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=85)
    return packed.getvalue()
