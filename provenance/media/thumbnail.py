"""Small pictures to show: decoded within limits and encoded anew, so that nothing of a file's own bytes is in them."""

from __future__ import annotations

import io
from pathlib import Path

from provenance.media.picture import open_picture


def small_jpeg(source: Path | bytes, side: int) -> bytes:
    """A JPEG of a picture, without any metadata.

    Args:
        side: its longer side in pixels, at most.

    Raises:
        MediaError: as :func:`provenance.media.picture.open_picture`.
    """
    from PIL import Image

    image = Image.fromarray(open_picture(source, reduce_to=2 * side).pixels)
    image.thumbnail((side, side))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return packed.getvalue()
