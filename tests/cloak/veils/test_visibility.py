"""What is seen of a veil, and what of it is minded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from cloak.attack.transforms import gaussian_blur
from cloak.veils.visibility import (
    CEILINGS,
    Ceiling,
    Visibility,
    coherence,
    dislike,
    folds_loss,
    mottle_loss,
    repeats_loss,
)

FACE = torch.tensor([[60.0, 40.0, 150.0, 150.0]])


def _clean() -> torch.Tensor:
    pixels = data.astronaut()[30:230, 120:330]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255


def _noise(seed: int, sigma: float = 0.0) -> torch.Tensor:
    noise = torch.randn(1, 1, 200, 210, generator=torch.Generator().manual_seed(seed))
    noise = gaussian_blur(noise, sigma) if sigma else noise
    return noise / noise.std()


def test_fit_ends_at_the_ceiling() -> None:
    clean, ceiling = _clean(), Ceiling(0.12, 0.12)
    seen = Visibility(clean, FACE)

    def render(amplitude: torch.Tensor) -> torch.Tensor:
        return (clean + amplitude * _noise(0)).clamp(0, 1)

    amplitude = seen.fit(render, [ceiling], [0.01], tries=6)
    used = seen.share(render(seen.spread(amplitude)), ceiling)
    assert 0.9 < used < 1.05


def test_fit_never_exceeds_the_largest_amplitude() -> None:
    clean = _clean()
    seen = Visibility(clean, FACE)
    assert seen.fit(lambda _: clean, [Ceiling(0.1, 0.1, 0.03)], [0.01]) == [0.03]


def test_each_face_has_an_amplitude_of_its_own() -> None:
    """Two faces beside each other, one dark and smooth: each ends at its own ceiling, and small faces get less."""
    clean = _clean()
    clean[..., 100:] = 0.5 * clean[..., 100:].mean()
    faces = torch.tensor([[20.0, 40.0, 80.0, 110.0], [130.0, 40.0, 190.0, 110.0]])
    seen = Visibility(clean, faces)
    ceilings = [Ceiling(0.1, 1.0), Ceiling(0.05, 1.0)]

    def render(amplitude: torch.Tensor) -> torch.Tensor:
        return (clean + amplitude * _noise(0)).clamp(0, 1)

    amplitudes = seen.fit(render, ceilings, [0.02, 0.02], tries=12)
    used = seen.shares(render(seen.spread(amplitudes)), ceilings)
    assert all(0.9 < one < 1.06 for one in used) and amplitudes[0] > 1.5 * amplitudes[1]
    assert seen.sides == [70.0, 70.0]
    most = Ceiling(0.1, 0.1, 0.13)
    assert most.for_side(400).amplitude == 0.13 and 0.06 < most.for_side(45).amplitude < 0.07


def test_the_square_prefers_an_even_change() -> None:
    """Of two changes with the same mean FLIP error, the one in a few large spots costs more."""
    clean = _clean()
    seen = Visibility(clean, FACE)
    even = _noise(1)
    spots = even * (_noise(2, 6.0) > 1.2)

    def at_equal_flip(change: torch.Tensor) -> torch.Tensor:
        amplitude = seen.fit(
            lambda a: (clean + a * change).clamp(0, 1), [Ceiling(0.06, 1.0)], [0.02], tries=8
        )
        return (clean + amplitude[0] * change).clamp(0, 1)

    assert float(seen.loss(at_equal_flip(spots))) > 1.3 * float(seen.loss(at_equal_flip(even)))


def test_stripes_have_more_coherence_than_grain() -> None:
    across = torch.arange(210.0).view(1, 1, 1, -1)
    stripes = torch.sin(across / 3).expand(1, 1, 200, 210)
    assert float(folds_loss(stripes)) > 1.5
    assert float(folds_loss(_noise(3))) < 0.3
    agree, energy = coherence(stripes, 1.5)
    assert float(agree.mean()) > 0.9 and bool((energy > 0).all())


def test_rings_and_lattices_repeat_and_grain_does_not() -> None:
    y, x = (torch.arange(160.0).view(shape) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    rings = torch.cos(((x - 80).square() + (y - 80).square()).sqrt())
    lattice = torch.cos(x * 1.2) * torch.cos(y * 1.2)
    assert float(repeats_loss(rings)) > 1 and float(repeats_loss(lattice)) > 1
    assert float(repeats_loss(_noise(3))) < 0.1


def test_random_grain_is_let_be() -> None:
    """The losses count what grain of the same strength has not."""
    grain, blotches = _noise(3), _noise(3, 4.0)
    assert float(mottle_loss(blotches)) > 20 * float(mottle_loss(grain))
    assert float(folds_loss(grain)) < 0.1


@pytest.mark.parametrize(
    ("kind", "measure"), [("stripes", "folds"), ("spots", "mottle"), ("bruise", "tint"), ("soot", "specks")]
)
def test_each_fault_raises_its_own_measure(kind: str, measure: str) -> None:
    clean = (_clean()[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[40:150, 60:150]
    grain = _noise(4)[0, 0].numpy()[40:150, 60:150, None] * 6
    y, x = np.mgrid[: clean.shape[0], : clean.shape[1]].astype(np.float32)
    fault = {
        "stripes": 14 * np.sin((x + y) / 3)[..., None] * np.ones(3),
        "spots": 8 * _noise(5, 4.0)[0, 0].numpy()[40:150, 60:150, None] * np.ones(3),
        "soot": -90.0 * (_noise(6, 1.2)[0, 0].numpy()[40:150, 60:150, None] > 2.2) * np.ones(3),
        "bruise": 12 * np.sin(x / 12)[..., None] * np.array([1.0, -0.5, 0.2]),
    }[kind]
    plain, faulty = (
        dislike(clean, np.clip(clean + change, 0, 255).astype(np.uint8)) for change in (grain, grain + fault)
    )
    assert getattr(faulty, measure) > 1 and getattr(faulty, measure) > 2 * getattr(plain, measure)
    assert faulty.total > plain.total
    assert plain.total < 1


def test_ceilings_rise_with_the_strength() -> None:
    faces = [ceiling.face for ceiling in CEILINGS.values()]
    assert faces == sorted(faces) and CEILINGS["mid"].face <= 0.15
