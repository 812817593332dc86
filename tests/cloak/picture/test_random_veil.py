"""The control of a veil: as visible as a cloak, and nobody searched it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cloak.evaluate.quality import crop, flip
from cloak.picture.random_veil import random_veil
from cloak.strength import Strength
from cloak.veils import VeilName
from cloak.veils.visibility import CEILINGS
from provenance.errors import UsageError

BOX = (80.0, 60.0, 192.0, 172.0)


@pytest.mark.parametrize("name", [VeilName.FILM, VeilName.LIGHT])
def test_it_is_as_visible_as_the_strength_allows(name: VeilName, portraits: dict[str, np.ndarray]) -> None:
    pixels = portraits["astronaut"][:256, 90:346]
    faces = torch.tensor([BOX])
    veiled = random_veil(pixels, faces, name, Strength.MID, 3)
    assert veiled.shape == pixels.shape and veiled.dtype == np.uint8
    seen = flip(crop(pixels, BOX), crop(veiled, BOX))
    ceiling = CEILINGS[Strength.MID].face
    assert seen is not None and 0.3 * ceiling < seen < 1.1 * ceiling
    np.testing.assert_array_equal(veiled, random_veil(pixels, faces, name, Strength.MID, 3))
    assert (veiled != random_veil(pixels, faces, name, Strength.MID, 4)).any()


def test_a_face_beside_a_much_larger_one_keeps_its_grain(portraits: dict[str, np.ndarray]) -> None:
    """Their patches lie over each other and are not joined."""
    small = (428.0, 200.0, 498.0, 270.0)
    faces = torch.tensor([small, [4.0, 120.0, 264.0, 380.0]])
    pixels = np.ascontiguousarray(portraits["astronaut"][:500, :500])
    veiled = random_veil(pixels, faces, VeilName.FILM, Strength.MID, 3)
    seen = flip(crop(pixels, small), crop(veiled, small))
    assert seen is not None and seen > 0.6 * CEILINGS[Strength.MID].for_side(70).face


def test_plain_noise_is_no_veil(portraits: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="no veil"):
        random_veil(portraits["astronaut"], torch.tensor([BOX]), VeilName.NOISE, Strength.MID, 0)
