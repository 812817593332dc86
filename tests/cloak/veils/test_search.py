"""A veil while it is searched."""

from __future__ import annotations

import torch
from skimage import data

from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas, luminance
from cloak.veils.grain import spread_share
from cloak.veils.search import Taste, VeilChange
from cloak.veils.visibility import Ceiling, Visibility, folds_loss, repeats_loss

CEILING = Ceiling(0.1, 0.12, 0.2)
FACE = torch.tensor([[60.0, 50.0, 130.0, 150.0]])


def _change(taste: Taste | None = None, seed: int = 0) -> VeilChange:
    pixels = data.astronaut()[20:200, 110:310]
    clean = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    canvas = Canvas(clean, spread_share((180, 200), FACE))
    veil = veil_of(VeilName.FILM)
    assert veil is not None
    return VeilChange(veil, canvas, Visibility(clean, FACE), CEILING, steps=12, seed=seed, taste=taste)


def _stripes() -> torch.Tensor:
    """What a detector that only looks for stripes would pull towards."""
    across = torch.arange(200.0).view(1, 1, 1, -1) + torch.arange(180.0).view(1, 1, -1, 1)
    return torch.sin(across / 1.5).expand(1, 3, -1, -1)


def _run(change: VeilChange, steps: int = 12, residual: float = 1.0) -> None:
    for step in range(steps):
        change.update(_stripes(), step, [residual])


def test_moves_against_the_gradient_within_the_ceiling() -> None:
    change = _change()
    before = float((change.noise * _stripes()).sum())
    _run(change)
    assert float((change.noise * _stripes()).sum()) < before - 1
    ceilings = [CEILING.for_side(side) for side in change.visibility.sides]
    (used,) = change.visibility.shares(change.canvas.clean + change.noise, ceilings)
    assert 0.85 < used <= 1.05


def test_a_search_that_ends_early_keeps_under_the_ceiling() -> None:
    change = _change()
    _run(change, steps=5)
    change.finish()
    assert 0.8 < change.visibility.share(change.canvas.clean + change.noise, CEILING) <= 1.005


def test_folds_that_detectors_ask_for_are_kept_down() -> None:
    free, held = _change(Taste(folds=0.0)), _change(Taste(folds=2.0))
    for one in (free, held):
        _run(one)
    values = [float(folds_loss(luminance(one.noise) * one.canvas.share)) for one in (free, held)]
    assert values[1] < 0.8 * values[0]


def test_gives_back_what_is_not_needed_and_takes_it_again() -> None:
    needed, change = _change(), _change()
    _run(needed, residual=1.0)
    _run(change, residual=0.0)
    assert change.used[0] < 0.9 and change.amplitude < 0.97 * needed.amplitude
    _run(change, residual=1.0)
    assert change.used == [1.0]


def test_is_repeatable() -> None:
    first, second, other = _change(), _change(), _change(seed=1)
    for one in (first, second, other):
        _run(one, 3)
    assert torch.equal(first.noise, second.noise) and not torch.equal(first.noise, other.noise)


def test_no_pull_at_all_leaves_a_finite_veil() -> None:
    change = _change()
    change.update(torch.zeros_like(change.canvas.clean), 0, [0.5])
    assert bool(torch.isfinite(change.noise).all())


def test_grain_stays_random_where_hardly_anything_pulls() -> None:
    """Beside what detectors look at, a trace of a gradient must not decide which grains are dark."""
    change = _change(Taste(flip=0.0, folds=0.0, mottle=0.0, repeats=0.0))
    first, near = change.parameters.clone(), torch.zeros(1, 1, 180, 200)
    near[..., 80:120, 95:115] = 1
    for step in range(12):
        change.update(_stripes() * (near + 1e-3), step, [1.0])

    def likeness(rows: slice, columns: slice) -> float:
        pair = [one.detach()[0, 0, rows, columns].flatten() for one in (first, change.parameters)]
        return float(torch.corrcoef(torch.stack(pair))[0, 1])

    assert likeness(slice(60, 140), slice(50, 75)) > 0.9
    assert likeness(slice(80, 120), slice(95, 115)) < 0.3


def test_repeats_that_detectors_ask_for_are_kept_down() -> None:
    free, held = _change(Taste(repeats=0.0, folds=0.0)), _change(Taste(repeats=2.0, folds=0.0))
    for one in (free, held):
        _run(one)
    values = [float(repeats_loss(luminance(one.noise) * one.canvas.share)) for one in (free, held)]
    assert values[1] < 0.7 * values[0]
