"""A picture laid over the recorded one that it looks like, so that a person can compare them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance.errors import VeilmarkError
from provenance.media.picture import open_picture
from provenance.search.titles import describe_entry
from provenance.verdict import SimilarRecord

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.log import Log
    from provenance.verdict import Verdict
    from veilmark.web.work.gallery import Gallery

SIDE = 960
_MOST_TRIED = 5
_WHOLE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
#: Mean difference of levels (of 255) up to which two pictures lie over each other, rather than somewhere.
_FITS = 48.0

Pixels = NDArray[np.uint8]


def comparison(
    path: Path, verdict: Verdict, ledger: Log, home: Home, gallery: Gallery
) -> dict[str, Any] | None:
    """What ``compare.html`` shows of the first record that a picture looks like; None where there is nothing to show.

    The recorded picture is the thumbnail that its manifest has in the own store.
    """
    if verdict.media_type.partition("/")[0] != "image":
        return None
    for record in [one for one in verdict.similar if not one.exact][:_MOST_TRIED]:
        thumbnail = describe_entry(ledger.entry(record.index), home, side=SIDE).thumbnail
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


def _laid_over(yours: Pixels, record: SimilarRecord, recorded: Image.Image) -> Image.Image | None:
    """Your picture where it lies in the recorded one; None where that is not known.

    An outline does not say which of its corners is your upper left one: the one that fits best is.
    """
    import cv2

    outline = record.outline or _WHOLE
    height, width = yours.shape[:2]
    size = (recorded.width, recorded.height)
    base = np.asarray(recorded.convert("RGB"))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    target = np.array(outline, np.float32) * np.array(size, np.float32)
    if len(target) != 4:  # an edge was cut off where it stuck out of the picture by a hair
        target = cv2.boxPoints(cv2.minAreaRect(target)).astype(np.float32)
    best: tuple[float, Pixels] | None = None
    for order in (target, target[::-1]):
        for turn in range(4):
            matrix = cv2.getPerspectiveTransform(corners, np.roll(order, turn, axis=0).copy())
            laid = cv2.warpPerspective(yours, matrix, size, flags=cv2.INTER_AREA)
            inside = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, size) > 127
            if not inside.any():
                continue
            apart = float(np.abs(laid[inside].astype(np.int16) - base[inside]).mean())
            if best is None or apart < best[0]:
                best = apart, np.where(inside[..., None], laid, base // 3).astype(np.uint8)
    return Image.fromarray(best[1]) if best and best[0] <= _FITS else None


def _small(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return image


def _jpeg(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=85)
    return packed.getvalue()
