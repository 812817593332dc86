"""Differentiable transforms against real encoders, and their gradients."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from cloak.attack import transforms
from cloak.evaluate.quality import psnr
from cloak.pixels import to_tensor
from provenance.errors import UsageError


def _to_pixels(picture: torch.Tensor) -> np.ndarray:
    return (picture[0].permute(1, 2, 0) * 255).round().byte().numpy()


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_is_what_libjpeg_does(portraits: dict[str, np.ndarray], quality: int, subsampling: int) -> None:
    clean = portraits["astronaut"][:301, :413]
    buffer = io.BytesIO()
    Image.fromarray(clean).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    real = np.asarray(Image.open(buffer))
    ours = _to_pixels(transforms.jpeg(quality, subsample=subsampling == 2)(to_tensor(clean)))
    assert psnr(ours, real) > 43
    assert psnr(ours, real) > psnr(clean, real) + 5


def test_jpeg_lets_gradients_through() -> None:
    picture = torch.rand(1, 3, 21, 35, requires_grad=True)
    transforms.jpeg(60)(picture).square().sum().backward()
    assert picture.grad is not None and bool(torch.isfinite(picture.grad).all())
    assert float((picture.grad != 0).float().mean()) > 0.9


def test_a_small_step_along_the_jpeg_gradient_moves_the_output() -> None:
    """Straight-through rounding: the gradient of the mean must predict the effect of a change JPEG keeps."""
    picture = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    transforms.jpeg(75)(picture).mean().backward()
    gradient = picture.grad
    assert gradient is not None
    with torch.no_grad():
        before = transforms.jpeg(75)(picture).mean()
        after = transforms.jpeg(75)(picture + 0.1).mean()
    assert float(after - before) == pytest.approx(0.1 * float(gradient.sum()), rel=0.1)


def test_boxes_follow_the_picture() -> None:
    """A bright square is found where the transform says it went."""
    picture = torch.zeros(1, 3, 120, 160)
    picture[..., 40:80, 60:120] = 1
    box = torch.tensor([[60.0, 40.0, 120.0, 80.0]])
    chain = transforms.crop_shift(8, 12).then(transforms.resize(0.5)).then(transforms.crop_shift(3, 2))
    out = chain(picture)[0, 0]
    rows, columns = (out > 0.5).any(1).nonzero()[:, 0], (out > 0.5).any(0).nonzero()[:, 0]
    expected = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    assert torch.allclose(chain.boxes(box)[0], expected, atol=1.0)
    assert chain.name == "shift8,12+half+shift3,2"


def test_blur_keeps_the_mean_and_small_pictures() -> None:
    picture = torch.rand(2, 3, 40, 50)
    blurred = transforms.blur(2.0)(picture)
    assert blurred.shape == picture.shape
    assert float(blurred.mean()) == pytest.approx(float(picture.mean()), abs=0.01)
    assert float(blurred.var()) < 0.2 * float(picture.var())
    assert transforms.blur(3.0)(torch.rand(1, 3, 2, 3)).shape == (1, 3, 2, 3)


def test_quantised_values_are_eight_bit() -> None:
    values = transforms.quantise(torch.rand(1, 3, 9, 9) * 1.2 - 0.1) * 255
    assert torch.allclose(values, values.round(), atol=1e-4)
    assert float(values.min()) >= 0 and float(values.max()) <= 255


@pytest.mark.parametrize(
    "make",
    [
        lambda: transforms.jpeg(0),
        lambda: transforms.jpeg(101),
        lambda: transforms.resize(0),
        lambda: transforms.blur(-1),
    ],
)
def test_nonsense_is_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        make()


def test_a_stretched_part_is_where_the_stretched_picture_has_it() -> None:
    """A detector that stretches pictures to a multiple of 32 pixels sees a part as large as inside its picture."""
    picture = torch.zeros(1, 3, 150, 200)
    picture[..., 40:80, 60:120] = 1
    box = torch.tensor([[60.0, 40.0, 120.0, 80.0]])
    seen = transforms.crop_shift(20, 10).then(transforms.stretch(160 / 150, 224 / 200, 32))
    out = seen(picture)[0, 0]
    assert out.shape[0] % 32 == out.shape[1] % 32 == 0
    rows, columns = (out > 0.5).any(1).nonzero()[:, 0], (out > 0.5).any(0).nonzero()[:, 0]
    found = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    assert torch.allclose(seen.boxes(box)[0], found, atol=1.0)
    whole = torch.tensor([60 - 20, 40 - 10, 120 - 20, 80 - 10]) * torch.tensor([1.12, 1.0667] * 2)
    assert torch.allclose(seen.boxes(box)[0], whole, atol=0.05)


def test_a_bend_moves_the_parts_of_a_place_a_little_and_can_be_drawn_again() -> None:
    """What lies at a place's middle stays there within the amount; a picture of each pixel's place tells."""
    across = torch.arange(80, dtype=torch.float32).expand(60, 80) / 80
    down = torch.arange(60, dtype=torch.float32)[:, None].expand(60, 80) / 60
    picture = torch.stack([across, down, torch.zeros(60, 80)])[None].requires_grad_(True)
    places = torch.tensor([[20.0, 10.0, 60.0, 50.0]])
    bend = transforms.warp(places, (60, 80), random.Random(1), 0.15)
    bent = bend(picture)
    moved = (
        ((bent - picture).detach()[:, :2] * torch.tensor([80.0, 60.0]).view(1, 2, 1, 1))
        .square()
        .sum(1)
        .sqrt()
    )
    turned, shifted = 0.15 * 20 * 2**0.5, 0.15 * 40 / 4 * 2**0.5 * 1.2
    inside = moved[0, 10:50, 20:60]
    assert 0.5 < float(inside.max()) < turned + shifted
    assert float(moved[0, 30, 40]) < shifted + 0.2
    assert torch.equal(bent, transforms.warp(places, (60, 80), random.Random(1), 0.15)(picture))
    assert not torch.equal(bent, transforms.warp(places, (60, 80), random.Random(2), 0.15)(picture))
    assert torch.allclose(
        transforms.warp(places, (60, 80), random.Random(1), 0.0)(picture), picture, atol=1e-5
    )
    (gradient,) = torch.autograd.grad(bent.sum(), picture)
    assert float(gradient.sum()) == pytest.approx(bent.numel(), rel=1e-3)
