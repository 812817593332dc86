"""Suppression and area averaging against their definitions, one box and one crop at a time."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from cloak.detectors.geometry.areas import averaged_crops, summed
from cloak.detectors.geometry.boxes import overlaps, suppress
from cloak.detectors.geometry.resample import opencv_bilinear


def one_by_one(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float
) -> list[int]:
    """Greedy suppression, straight from its definition."""
    kept: list[int] = []
    for i in torch.argsort(scores, descending=True, stable=True).tolist():
        rivals = [k for k in kept if groups[k] == groups[i]]
        if not rivals or overlaps(boxes[[i]], boxes[rivals]).max() <= threshold:
            kept.append(i)
    return kept


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 120), st.sampled_from([0.2, 0.5, 0.7]))
def test_suppression_is_greedy(seed: int, count: int, threshold: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand((count, 2), generator=generator) * 40
    boxes = torch.cat([corner, corner + 5 + torch.rand((count, 2), generator=generator) * 30], dim=1)
    scores = (torch.rand(count, generator=generator) * 20).round() / 20
    groups = torch.randint(0, 2, (count,), generator=generator)
    kept = suppress(boxes, scores, threshold, groups=groups)
    assert kept.tolist() == one_by_one(boxes, scores, groups, threshold)


def test_suppression_over_several_chunks() -> None:
    """More boxes than are compared at once, in a chain in which each one overlaps the next."""
    count = 5000
    left = torch.arange(count) * 3.0
    boxes = torch.stack([left, torch.zeros(count), left + 10, torch.full((count,), 10.0)], dim=1)
    kept = suppress(boxes, torch.linspace(1, 0, count), 0.5)
    assert kept.tolist() == list(range(0, count, 2))


def test_overlap_of_the_smaller_box_and_of_pixels() -> None:
    big, small = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([[5.0, 0.0, 14.0, 4.0]])
    assert float(overlaps(big, small)) == pytest.approx(16 / (81 + 36 - 16))
    assert float(overlaps(big, small, relative_to="smaller", pixel=1)) == pytest.approx(25 / 50)


def test_inclusive_suppression() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    scores, exactly = torch.tensor([0.9, 0.8]), float(overlaps(boxes[:1], boxes[1:]))
    assert len(suppress(boxes, scores, exactly)) == 2
    assert len(suppress(boxes, scores, exactly, inclusive=True)) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 24]))
def test_crops_average_as_area_interpolation_does(seed: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    pictures = torch.from_numpy(generator.uniform(0, 255, (2, 3, 41, 57)))
    x, y = np.sort(generator.integers(0, 57, (2, 9)), 0), np.sort(generator.integers(0, 41, (2, 9)), 0)
    corners = torch.from_numpy(np.stack([x[0], y[0], x[1] + 1, y[1] + 1], axis=1))
    index = torch.from_numpy(generator.integers(0, 2, 9))
    crops = averaged_crops(summed(pictures), index, corners, size)
    for crop, picture, (x1, y1, x2, y2) in zip(crops, index, corners.tolist(), strict=True):
        expected = interpolate(pictures[picture][None, :, y1:y2, x1:x2], size=(size, size), mode="area")[0]
        assert torch.allclose(crop, expected, atol=1e-8)


@pytest.mark.parametrize("size", [(375, 500), (61, 83), (33, 1), (600, 512)])
def test_resizing_is_opencvs(size: tuple[int, int]) -> None:
    """To the next multiple of 32: at most one grey level apart, and in fewer than one value of two hundred."""
    height, width = (math.ceil(side / 32) * 32 for side in size)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR).astype(int)
    ours = opencv_bilinear(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), height, width)
    difference = np.abs(ours[0].permute(1, 2, 0).numpy() - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005
