"""The budget holds, whatever it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloak.attack import budget
from cloak.attack.task import Task
from cloak.pixels import to_tensor
from cloak.strength import Strength
from provenance.errors import UsageError


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.001, 0.2), st.floats(0.01, 3))
def test_projected_noise_is_within_the_limit_and_the_range(seed: int, limit: float, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(1, 3, 8, 9, generator=generator)
    noise = torch.randn(1, 3, 8, 9, generator=generator) * size
    bounds = limit * torch.rand(1, 1, 8, 9, generator=generator)
    kept = budget.project(noise, clean, bounds)
    assert bool((kept.abs() <= bounds + 1e-6).all())
    assert float((clean + kept).min()) >= 0 and float((clean + kept).max()) <= 1
    # the nearest such noise: projecting again changes nothing
    assert torch.allclose(budget.project(kept, clean, bounds), kept, atol=1e-6)


def test_strengths_are_8_12_and_16_levels() -> None:
    assert [strength.levels for strength in Strength] == [8, 12, 16]
    assert [round(strength.epsilon * 255) for strength in Strength] == [8, 12, 16]
    assert Strength.LOW.energy < Strength.MID.energy < Strength.HIGH.energy


def test_texture_gets_more_than_smooth_areas(portraits: dict[str, np.ndarray]) -> None:
    mask = budget.visibility_mask(to_tensor(portraits["astronaut"]), smooth=0.6)
    assert float(mask.min()) >= 0.6 - 1e-6 and float(mask.max()) <= 1
    hair, backdrop = mask[0, 0, 40:90, 190:270], mask[0, 0, 20:120, 320:370]
    assert float(hair.mean()) > float(backdrop.mean()) + 0.15
    with pytest.raises(UsageError):
        budget.visibility_mask(torch.rand(1, 3, 16, 16), smooth=0)


def test_the_context_mask_is_one_on_faces_and_zero_far_away() -> None:
    boxes = torch.tensor([[20.0, 20.0, 40.0, 44.0]])
    mask = budget.context_mask((100, 120), boxes, 0.25)[0, 0]
    assert bool((mask[20:44, 20:40] == 1).all())
    assert float(mask[60:, 60:].max()) == 0
    assert 0 < float(mask[32, 47]) < 1
    assert float(budget.context_mask((10, 10), torch.zeros(0, 4), 0.25).max()) == 0


def test_grey_noise_is_the_same_in_all_channels() -> None:
    noise = budget.to_grey(torch.randn(1, 3, 5, 6))
    assert torch.equal(noise[:, 0], noise[:, 1]) and torch.equal(noise[:, 1], noise[:, 2])


def test_less_colour_keeps_brightness_and_drops_a_share_of_the_rest() -> None:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    noise = torch.randn(1, 3, 6, 7)
    half, none = budget.reduce_chroma(noise, 0.5), budget.reduce_chroma(noise, 0.0)
    for kept in (half, none):
        assert torch.allclose((kept * weights).sum(1), (noise * weights).sum(1), atol=1e-5)
    assert torch.allclose(none[:, 0], none[:, 2], atol=1e-6)
    assert torch.allclose(half - none, 0.5 * (noise - none), atol=1e-5)


def test_each_face_keeps_its_own_energy() -> None:
    faces = torch.tensor([[4.0, 4.0, 20.0, 20.0], [70.0, 70.0, 86.0, 86.0]])
    task = Task(torch.full((1, 3, 90, 90), 0.5), faces, torch.full((1, 1, 90, 90), 0.4), energy=0.05)
    noise = torch.full((1, 3, 90, 90), 0.03)
    noise[..., :30, :30] = 0.2  # one face has too much, the other has not
    kept = budget.NoiseBudget(task).project(noise)
    spent = [float(kept[..., a:b, a:b].square().mean().sqrt()) for a, b in ((4, 20), (70, 86))]
    assert spent == pytest.approx([0.05, 0.03], abs=1e-4)
