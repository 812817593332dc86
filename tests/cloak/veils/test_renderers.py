"""The veils as renderers: nothing at no amplitude, grey stays grey, gradients reach every parameter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data

from cloak.veils import VeilName, veil_of
from cloak.veils.background import add_background
from cloak.veils.base import Canvas, Veil, luminance
from cloak.veils.film import Film
from cloak.veils.grain import evened, flattened, grain, spread_share, strength_map
from cloak.veils.grey import without_colour
from cloak.veils.visibility import folds_loss

RENDERERS = [VeilName.FILM, VeilName.FILM_BW, VeilName.LIGHT]


def _veil(name: VeilName) -> Veil:
    veil = veil_of(name)
    assert veil is not None and veil.name is name
    return veil


def _canvas(pixel: float = 1.0) -> Canvas:
    pixels = data.astronaut()[20:200, 110:310]
    clean = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    return Canvas(clean, spread_share((180, 200), torch.tensor([[60.0, 50.0, 130.0, 150.0]])), pixel)


def test_noise_is_no_renderer() -> None:
    assert veil_of(VeilName.NOISE) is None


@pytest.mark.parametrize("name", RENDERERS)
def test_no_amplitude_changes_nothing(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    rendered = veil.render(canvas, veil.random(canvas, 0), 0.0)
    assert torch.allclose(rendered, canvas.clean, atol=1e-6)


@pytest.mark.parametrize("name", RENDERERS)
def test_the_seed_alone_decides(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    assert torch.equal(veil.random(canvas, 3), veil.random(canvas, 3))
    assert not torch.equal(veil.random(canvas, 3), veil.random(canvas, 4))


@pytest.mark.parametrize("name", RENDERERS)
def test_nothing_changes_where_the_veil_has_no_share(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    rendered = veil.render(canvas, veil.random(canvas, 0), 0.1)
    outside = (canvas.share == 0).expand_as(canvas.clean)
    assert bool(outside.any()) and torch.allclose(rendered[outside], canvas.clean[outside], atol=1e-6)


@pytest.mark.parametrize("name", RENDERERS)
def test_gradients_reach_the_parameters(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    parameters = veil.random(canvas, 1).requires_grad_(True)
    veil.render(canvas, parameters, 0.03).square().sum().backward()
    assert parameters.grad is not None
    assert all(float(layer.abs().sum()) > 0 for layer in parameters.grad[0])


@pytest.mark.parametrize("name", [VeilName.FILM_BW, VeilName.LIGHT])
def test_grey_pictures_stay_grey(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    grey = Canvas(luminance(canvas.clean).expand(-1, 3, -1, -1), canvas.share)
    rendered = veil.render(grey, veil.random(grey, 0), 0.06)
    assert torch.allclose(rendered[:, 0], rendered[:, 2], atol=1e-6)


@pytest.mark.parametrize("name", RENDERERS)
def test_settled_parameters_are_settled(name: VeilName) -> None:
    veil, canvas = _veil(name), _canvas()
    settled = veil.settle(canvas, 5 * veil.random(canvas, 0))
    again = veil.settle(canvas, settled)
    # bands of frequencies are capped one by one, which leaves a little to cap the second time
    assert float((settled - again).abs().mean()) < 0.02 * float(settled.abs().mean())
    assert float(settled.std()) < 3 * float(veil.random(canvas, 0).std())


def test_a_coarse_pitch_on_one_face_of_a_large_patch_is_taken_out() -> None:
    """Over the whole spectrum it hardly shows; around the face it is most of what there is."""
    white = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(3))
    rows, columns = torch.arange(40.0).view(-1, 1), torch.arange(40.0).view(1, -1)
    labyrinth = white.clone()
    labyrinth[..., 100:140, 100:140] += 2 * torch.cos(rows * 0.5) * torch.cos(columns * 0.5)

    def pitch(parameters: torch.Tensor) -> float:
        spectrum = torch.fft.rfft2(parameters[..., 100:140, 100:140]).abs().square()
        return float(spectrum[..., 2:5, 2:5].mean() / spectrum.mean())

    assert float((evened(white, 6.0, 1.5) - white).abs().mean()) < 0.1
    assert pitch(evened(labyrinth, 6.0, 1.5)) < 0.8 * pitch(labyrinth)


def test_weak_grain_is_less_loose_and_its_blue_layer_as_strong() -> None:
    """What is searched decides more of grain that is hardly seen."""
    veil, canvas = Film(), _canvas()
    other = replace(veil, loose=0.0)
    parameters = veil.settle(canvas, veil.random(canvas, 0))

    def apart(amplitude: float) -> float:
        gap = veil.render(canvas, parameters, amplitude) - other.render(canvas, parameters, amplitude)
        return float(gap[:, 1].std()) / amplitude

    assert apart(0.04) < 0.6 * apart(0.13)
    weak, strong = (veil.render(canvas, parameters, one) - canvas.clean for one in (0.03, 0.06))
    own = [float((one[:, 2] - one[:, 1]).std()) for one in (weak, strong)]
    assert 1.5 < own[1] / own[0] < 2.0


def test_film_keeps_the_slow_part_of_colour() -> None:
    """The blue layer's grain has no slow part that would tint the skin."""
    canvas = _canvas()
    film = _veil(VeilName.FILM)
    change = film.render(canvas, film.random(canvas, 0), 0.04) - canvas.clean
    blue = (change[:, 2] - change[:, 0])[..., 60:140, 70:120]
    slow = torch.nn.functional.avg_pool2d(blue, 16)
    assert float(slow.std()) < 0.12 * float(blue.std())


def test_grain_has_unit_variance_at_every_size() -> None:
    white = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    for sigma in (0.45, 0.6, 1.0, 2.0):
        assert float(grain(white, sigma).std()) == pytest.approx(1.0, abs=0.08)


def test_grain_has_no_direction() -> None:
    white = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(1))
    assert float(folds_loss(grain(white, 0.6))) < 0.25


def test_flattened_noise_has_no_pitch() -> None:
    white = torch.randn(1, 1, 128, 160, generator=torch.Generator().manual_seed(2))
    waves = white + 3 * torch.sin(torch.arange(160.0) / 1.3).expand(1, 1, 128, 160)
    peaks = []
    for one in (waves, flattened(waves, 2.0), white):
        power = torch.fft.rfft2(one).abs().square()
        peaks.append(float(power.max() / power.mean()))
    assert peaks[0] > 500 and peaks[1] < 10 * peaks[2]
    assert float((flattened(white, 2.0) - white).abs().max()) < 0.5


@pytest.mark.parametrize("name", [VeilName.FILM, VeilName.FILM_BW])
def test_what_gathers_in_one_place_is_evened_out(name: VeilName) -> None:
    """Parameters that are ten times stronger around the eyes than elsewhere still make even grain."""
    veil = _veil(name)
    grey = Canvas(torch.full((1, 3, 160, 160), 0.5), torch.ones(1, 1, 160, 160))
    parameters = veil.random(grey, 0)
    parameters[..., 60:80, 60:80] *= 10
    change = luminance(veil.render(grey, veil.settle(grey, parameters), 0.08) - grey.clean)
    there, elsewhere = float(change[..., 60:80, 60:80].std()), float(change[..., 100:, 100:].std())
    assert there < 1.35 * elsewhere


def test_no_pepper() -> None:
    """Strong grain has no more dark specks than bright ones, and does not make a picture darker or brighter."""
    veil = _veil(VeilName.FILM)
    grey = Canvas(torch.full((1, 3, 200, 200), 0.45), torch.ones(1, 1, 200, 200))
    change = luminance(veil.render(grey, veil.random(grey, 0), 0.16) - grey.clean)
    assert abs(float(change.mean())) < 0.004
    assert float(-change.min()) <= float(change.max())


def test_skin_moves_in_brightness_more_than_in_colour() -> None:
    skin = torch.tensor([0.75, 0.5, 0.4]).view(1, 3, 1, 1).expand(1, 3, 120, 120)
    canvas = Canvas(skin, torch.ones(1, 1, 120, 120))
    change = Film(blue=0.0).render(canvas, _veil(VeilName.FILM).random(canvas, 0)[:, :1], 0.05) - skin
    red, green = float(change[:, 0].std()), float(change[:, 1].std())
    assert red < 1.3 * green  # in the colour's own proportion it would be 1.5


def test_light_does_not_fade_away() -> None:
    canvas, light = _canvas(), _veil(VeilName.LIGHT)
    faded = light.settle(canvas, 0.01 * light.random(canvas, 0))
    assert float(faded.square().mean().sqrt()) > 0.5
    change = light.render(canvas, faded, 0.05) - canvas.clean
    assert float(change.abs().mean()) > 5e-3


def test_grain_is_strongest_in_middle_tones() -> None:
    tones = [torch.full((1, 3, 40, 40), level) for level in (0.02, 0.5, 0.98)]
    dark, middle, light = (float(strength_map(tone).mean()) for tone in tones)
    assert middle > 3 * dark and middle > 1.5 * light


def test_share_fades_from_the_face() -> None:
    share = spread_share((200, 200), torch.tensor([[80.0, 80.0, 120.0, 120.0]]))[0, 0]
    assert float(share[100, 100]) == 1 and float(share[5, 5]) == 0
    row = share[100, 100:]
    assert bool((row[1:] <= row[:-1] + 1e-6).all()) and 0 < float(row[row > 0].min()) < 1


def test_background_leaves_the_face_to_the_search() -> None:
    pixels = np.full((300, 400, 3), 128, np.uint8)
    change = np.zeros(pixels.shape, np.int16)
    face = torch.tensor([[150.0, 100.0, 220.0, 190.0]])
    add_background(change, pixels, face, _veil(VeilName.FILM), 0.03, 1.0, seed=0)
    assert not change[110:180, 160:210].any()
    assert 2 < change[:40].std() < 12
    half = np.zeros(pixels.shape, np.int16)
    add_background(half, pixels, face, _veil(VeilName.FILM), 0.03, 0.5, seed=0)
    neighbours = [
        np.corrcoef(one[:40, :-1, 0].ravel(), one[:40, 1:, 0].ravel())[0, 1] for one in (change, half)
    ]
    assert neighbours[1] > neighbours[0] + 0.1  # grain of a picture that is worked on smaller is larger


def test_without_colour() -> None:
    pixels = data.astronaut()[:50, :60]
    grey = without_colour(pixels)
    assert grey.shape == pixels.shape and (grey[..., 0] == grey[..., 2]).all()
    assert abs(float(grey.mean()) - float((pixels @ [0.299, 0.587, 0.114]).mean())) < 1
