"""Conditions of large pictures: also met at the size at which the picture is shown."""

from __future__ import annotations

import random

import pytest
import torch

from cloak.attack.task import conditions
from cloak.picture.display_scale import also_shown


def test_near_sizes_change_nothing() -> None:
    met = conditions(95)
    for scale in (0.85, 1.0, 2.0):
        assert also_shown(met, scale) == met


@pytest.mark.parametrize("quality", [None, 90])
def test_smaller_sizes_are_drawn_and_examined(quality: int | None) -> None:
    met = also_shown(conditions(quality, slide=8), 1 / 3)
    picture = torch.rand(1, 3, 240, 240, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[60.0, 60.0, 120.0, 120.0]])
    assert [condition.name for condition in met] == ["published", "jpeg75", "half"]
    for condition in met:
        factor = 1 / 6 if condition.name == "half" else 1 / 3
        assert min(exam.scale for exam in condition.exams) == pytest.approx(factor)
        assert max(exam.scale for exam in condition.exams) == (0.5 if condition.name == "half" else 1.0)
        for exam in condition.exams:
            shown = exam(picture)
            assert shown.shape[-1] == pytest.approx((240 - exam.offset[0]) * exam.scale, abs=1)
            assert float(exam.boxes(box)[0, 2] - exam.boxes(box)[0, 0]) == pytest.approx(60 * exam.scale)
        rng = random.Random(1)
        scales = [condition.draw(rng).scale for _ in range(60)]
        small = [scale for scale in scales if scale < 1.15 * factor]
        assert 15 < len(small) < 45 and max(small) - min(small) > 0.05 * factor
