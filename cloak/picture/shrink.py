"""A picture made smaller before it is cloaked."""

from __future__ import annotations

from dataclasses import replace

from cloak.pixels import scaled
from provenance.media.picture import Picture


def shrunk(picture: Picture, longest: int | None) -> Picture:
    """The picture with a longer side of at most ``longest`` pixels, by area averaging, its alpha with it.

    A smaller picture is hidden better: fine grain reaches detectors that shrink what they look at.
    """
    if longest is None or max(picture.size) <= longest:
        return picture
    factor = longest / max(picture.size)
    alpha = None if picture.alpha is None else scaled(picture.alpha, factor)
    return replace(picture, pixels=scaled(picture.pixels, factor), alpha=alpha)
