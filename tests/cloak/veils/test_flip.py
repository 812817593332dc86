"""FLIP with gradients, against the authors' program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from cloak.veils.flip import Flip

flip_evaluator = pytest.importorskip("flip_evaluator", reason="flip-evaluator is not installed")


def _pair(kind: str) -> tuple[np.ndarray, np.ndarray]:
    clean = data.astronaut()[40:150, 150:280]
    rng = np.random.default_rng(0)
    if kind == "grain":
        noise = rng.normal(0, 14, (*clean.shape[:2], 1))
    elif kind == "colour":
        noise = rng.normal(0, 12, clean.shape)
    else:
        noise = np.full(clean.shape, 20.0) * np.sin(np.arange(clean.shape[1]) / 9)[None, :, None]
    return clean, np.clip(clean + noise, 0, 255).astype(np.uint8)


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255


@pytest.mark.parametrize("kind", ["grain", "colour", "light"])
def test_agrees_with_the_reference_program(kind: str) -> None:
    clean, changed = _pair(kind)
    floats = [np.ascontiguousarray(one, np.float32) / 255 for one in (clean, changed)]
    _, expected, _ = flip_evaluator.evaluate(*floats, "LDR", applyMagma=False)
    assert float(Flip(_tensor(clean)).error_map(_tensor(changed)).mean()) == pytest.approx(expected, abs=1e-3)


def test_equal_pictures_show_no_difference() -> None:
    clean = _tensor(_pair("grain")[0])
    assert float(Flip(clean).error_map(clean).mean()) < 1e-3


def test_gradient_lowers_the_error() -> None:
    clean, changed = (_tensor(one) for one in _pair("grain"))
    flip = Flip(clean)
    picture = changed.requires_grad_(True)
    before = flip.error_map(picture).mean()
    before.backward()
    assert picture.grad is not None and bool(torch.isfinite(picture.grad).all())
    after = flip.error_map(
        picture.detach() - 1e-3 * picture.grad / picture.grad.square().mean().sqrt()
    ).mean()
    assert float(after) < float(before.detach())


def test_from_further_away_fine_grain_is_seen_less() -> None:
    clean, changed = (_tensor(one) for one in _pair("grain"))
    near, far = (float(Flip(clean, density).error_map(changed).mean()) for density in (30.0, 120.0))
    assert far < 0.8 * near
