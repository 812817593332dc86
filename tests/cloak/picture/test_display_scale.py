"""Conditions of large pictures: also met at the size at which the picture is shown, be it smaller or larger."""

from __future__ import annotations

import random

import pytest
import torch

from cloak.attack.conditions import publication_conditions
from cloak.picture.display_scale import with_display_scale


def test_near_sizes_change_nothing() -> None:
    conditions = publication_conditions(95)
    for scale in (0.85, 1.0, 1.2):
        assert with_display_scale(conditions, scale) == conditions


@pytest.mark.parametrize("quality", [None, 90])
def test_smaller_sizes_are_drawn_and_examined(quality: int | None) -> None:
    conditions = with_display_scale(publication_conditions(quality, max_shift=8), 1 / 3)
    picture = torch.rand(1, 3, 240, 240, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[60.0, 60.0, 120.0, 120.0]])
    assert [condition.name for condition in conditions] == ["published", "jpeg75", "half"]
    for condition in conditions:
        factor = 1 / 6 if condition.name == "half" else 1 / 3
        assert min(transform.scale for transform in condition.evaluation_transforms) == pytest.approx(factor)
        assert max(transform.scale for transform in condition.evaluation_transforms) == (
            0.5 if condition.name == "half" else 1.0
        )
        for transform in condition.evaluation_transforms:
            shown = transform(picture)
            assert shown.shape[-1] == pytest.approx(
                (240 - transform.affine.offset[0]) * transform.scale, abs=1
            )
            assert float(transform.boxes(box)[0, 2] - transform.boxes(box)[0, 0]) == pytest.approx(
                60 * transform.scale
            )
        rng = random.Random(1)
        scales = [condition.random_transform(rng).scale for _ in range(60)]
        small = [scale for scale in scales if scale < 1.15 * factor]
        assert 15 < len(small) < 45 and max(small) - min(small) > 0.05 * factor


def test_half_of_a_picture_is_more_than_half_of_a_smaller_patch() -> None:
    """A face that is worked on at two thirds of its size: half of the picture is three quarters of the patch."""
    conditions = with_display_scale(publication_conditions(None, max_shift=8), 1.5)
    rng = random.Random(2)
    for condition in conditions:
        scales = [condition.random_transform(rng).scale for _ in range(60)]
        if condition.name == "half":
            assert [one.scale for one in condition.evaluation_transforms] == pytest.approx([0.75, 0.75])
            assert all(0.6 < scale < 0.9 for scale in scales)
        else:
            assert {round(scale, 3) for scale in scales} == {1.0, 1.5}
            assert 8 < scales.count(1.5) < 30, "views as large as the picture is shown cost more"
