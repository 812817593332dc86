"""Ways to clean a picture of a veil, and their gradients."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
import torch

from cloak.attack import cleaning


def test_the_median_is_opencvs_and_gradients_go_to_one_pixel_of_nine() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    given = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    picture = given.clone().requires_grad_(True)
    made = cleaning.median3()(picture)
    levels = (made.detach()[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(levels, cv2.medianBlur(pixels, 3))
    made[0, 0, 10, 10].backward()
    assert picture.grad is not None
    assert int((picture.grad != 0).sum()) == 1 and float(picture.grad.sum()) == pytest.approx(1)


def test_non_local_means_removes_grain_and_keeps_edges() -> None:
    clean = torch.full((1, 3, 60, 60), 0.3)
    clean[..., 30:] = 0.7
    grain = 0.03 * torch.randn(1, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    picture = (clean + grain).requires_grad_(True)
    made = cleaning.non_local_means(0.08)(picture)
    left = (made - clean).detach()
    assert float(left.std()) < 0.5 * float(grain.std())
    assert float(left[..., 28:32].abs().mean()) < 0.02
    made.sum().backward()
    assert picture.grad is not None and bool(torch.isfinite(picture.grad).all())


def test_every_way_of_cleaning_passes_gradients() -> None:
    rng = random.Random(0)
    names = set()
    for _ in range(60):
        way = cleaning.random_cleaning(rng)
        names.add(way.name.rstrip("0123456789.")[:4])
        picture = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        made = way(picture)
        assert float(made.detach().min()) >= 0 and float(made.detach().max()) <= 1 + 1e-5
        made.sum().backward()
        assert picture.grad is not None and float(picture.grad.abs().sum()) > 0
    assert names >= {"blur", "x", "medi", "nlm", "jpeg"}
