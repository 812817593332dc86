"""A picture made smaller before it is cloaked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cloak.options import CloakOptions
from cloak.picture.shrink import shrunk
from cloak.video.options import check_picture_options
from provenance.errors import UsageError
from provenance.media.picture import open_picture


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_only_what_is_larger_is_made_smaller_and_alpha_goes_with_it() -> None:
    pixels = np.zeros((90, 300, 4), np.uint8)
    pixels[:, :150] = 200, 100, 50, 255
    picture = open_picture(_png(pixels))
    assert shrunk(picture, None) is picture and shrunk(picture, 300) is picture
    small = shrunk(picture, 150)
    assert small.size == (150, 45) and small.alpha is not None and small.alpha.shape == (45, 150)
    assert small.alpha[:, :74].min() == 255 and small.alpha[:, 76:].max() == 0
    assert tuple(small.pixels[20, 40]) == (200, 100, 50)
    assert shrunk(open_picture(_png(pixels[:1])), 150).size == (150, 1), "a sliver keeps a row"


@pytest.mark.parametrize("longest", [0, 127, 30_001, -640])
def test_sizes_have_limits(longest: int) -> None:
    with pytest.raises(UsageError, match="longer side"):
        CloakOptions(longest=longest)


def test_a_film_keeps_its_size() -> None:
    with pytest.raises(UsageError, match="a smaller size cannot be had for videos"):
        check_picture_options(CloakOptions(longest=640))
