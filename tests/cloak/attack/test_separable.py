"""Rows and columns filtered by OpenCV are what torch's convolutions make of them, there and back."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from cloak.attack.separable import filtered


def _by_convolution(planes: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    channels = planes.shape[1]
    rows = functional.conv2d(planes, across.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(rows, down.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("wide", "tall"), [(5, 9), (1, 3), (21, 21)])
def test_values_and_gradients_are_torchs(channels: int, wide: int, tall: int) -> None:
    generator = torch.Generator().manual_seed(3)
    planes = torch.randn(2, channels, 30, 41, generator=generator, requires_grad=True)
    across, down = torch.randn(wide, generator=generator), torch.randn(tall, generator=generator)
    ours, theirs = (made(planes, across, down) for made in (filtered, _by_convolution))
    assert torch.allclose(ours, theirs, atol=1e-4)
    weight = torch.randn(ours.shape, generator=generator)
    gradients = [torch.autograd.grad((one * weight).sum(), planes)[0] for one in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-4)


def test_the_gradient_is_that_of_finite_differences() -> None:
    planes = torch.randn(1, 1, 7, 8, dtype=torch.float64, requires_grad=True)
    across = torch.tensor([0.2, -0.5, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: filtered(x, across, across), (planes,))
