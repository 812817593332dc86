"""``film``: grain of photographic film; ``film-bw``: the same on a picture without colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cloak.attack.transforms import gaussian_blur
from cloak.veils.base import Canvas, luminance, normal
from cloak.veils.grain import evened, flattened, grain, local_energy, soft_limit, strength_map
from cloak.veils.names import VeilName

#: No bright grain is stronger than so many standard deviations, and no dark one than the second number: a picture is
#: full of dark specks long before it is full of bright ones.
_MOST_BRIGHT, _MOST_DARK = 2.0, 1.6
#: What those limits leave of normal grain has this mean, which is taken out.
_SHIFT = 0.019
#: Share of a change of brightness that all colours have alike, where a colour has no less than brightness; the rest
#: goes with the colour. Density alone would let red move most on skin, which looks like rust.
_NEUTRAL = 0.7
#: The size of the grain that nobody searches, as :attr:`Film.size`: a search takes the coarse part out of its own, and
#: what is left has a pitch.
_LOOSE_SIZE = 0.85
#: Grain of this amplitude is plainly seen.
_STRONG = 0.15
_UNEVENNESS_SEED, _LOOSE_SEED = 20, 77
#: Sigma of the smallest grain, in pixels of the canvas.
_FINEST = 0.45
#: Below this brightness grain changes a place by less than its strength says: black stays black.
_DARKEST = 0.12
#: Of what is searched: no frequency has more than so many times the average power, over the whole of it and over
#: Gaussians of the second number's sigma in pixels as shown.
_MOST_POWER, _REGION = 1.5, 6.0
#: Of what is searched, sigmas of Gaussians in pixels as shown: what is slower is taken out; over so much of the picture
#: its strength is evened out, unless its mean square is hardly more than the third number.
_SLOW, _EVEN, _FAINT = 6.0, 8.0, 0.03


@dataclass(frozen=True)
class Film:
    """Grain in brightness and, for colour, a second one in the blue layer.

    The blue layer of colour film is its grainiest, and what the eye resolves least, whereas detectors weigh it like the
    others; so grain there costs the least of what a person sees. It has no slow part, so skin keeps its colour.

    Three things keep what is searched looking like grain. No frequency of it is much stronger than the others, so there
    is no pitch in which labyrinths could stand. Its strength is the same all over a face, so it does not gather as soot
    around eyes and lips: what is searched is which grains are dark and which are bright. And over it, in brightness,
    lies grain that nobody searches. A fourth is the search's own: it turns away from what repeats itself
    (:func:`cloak.veils.visibility.repeats_loss`), and from rings and lattices with it.

    Attributes:
        size: of a grain, as the sigma of a Gaussian in pixels as shown.
        unevenness: how much grains differ in strength: the power of the magnitude of normal noise by which each is
            weighed. The search does not decide where the strong ones lie; that breaks up lines.
        loose: strength of the grain that nobody searches, in shares of the searched one's, where the amplitude is at
            least :data:`_STRONG`; less where grain is weaker, for there less of it is seen.
        blue: strength of the blue layer's own grain, in shares of that of brightness; 0: none.
        least_blue: where the blue layer's own grain would be weaker, it has this amplitude, or that of brightness where
            that is less: so much of it is not seen.
        slow: sigma in pixels as shown; what is slower is taken out of the blue layer's grain.
    """

    size: float = 0.6
    unevenness: float = 0.35
    loose: float = 0.6
    blue: float = 0.4
    least_blue: float = 0.05
    slow: float = 1.8
    name: VeilName = VeilName.FILM
    pace: float = 0.4

    def random(self, canvas: Canvas, seed: int) -> Tensor:
        return normal((1, 2 if self.blue else 1, *canvas.clean.shape[-2:]), seed, canvas.clean)

    def settle(self, canvas: Canvas, parameters: Tensor) -> Tensor:
        parameters = evened(flattened(parameters, _MOST_POWER), _REGION / canvas.pixel, _MOST_POWER)
        weight = canvas.share / canvas.share.square().mean().sqrt().clamp_min(1e-6)
        spent = (self._layers(canvas, parameters) * weight).square().mean((2, 3), keepdim=True).sqrt()
        return parameters * (1 / spent.clamp_min(1e-6)).clamp_max(1)

    def render(self, canvas: Canvas, parameters: Tensor, amplitude: float | Tensor) -> Tensor:
        layers = self._layers(canvas, parameters)
        size = (canvas.clean.shape[-2], canvas.clean.shape[-1])
        layers = layers - gaussian_blur(layers, _SLOW / canvas.pixel)
        layers = layers / (local_energy(layers, _EVEN / canvas.pixel) + _FAINT).sqrt()
        if self.loose:
            free = grain(_loose(size).to(layers), _sigma(_LOOSE_SIZE, canvas))
            loose = self.loose * (torch.as_tensor(amplitude) / _STRONG).clamp_max(1)
            mixed = (layers[:, :1] + loose * free) / (1 + loose**2) ** 0.5
            layers = torch.cat([mixed, layers[:, 1:]], 1)
        if self.unevenness:
            layers = layers * _unevenness(self.unevenness, size).to(layers)
        layers = (
            torch.where(layers < 0, soft_limit(layers, _MOST_DARK), soft_limit(layers, _MOST_BRIGHT)) - _SHIFT
        )
        place = _strength(canvas.clean) * canvas.share
        strength = amplitude * place
        result = canvas.clean + strength * layers[:, :1] * _colour(canvas.clean)
        if self.blue:
            own = self._blue_amplitude(amplitude) * place * layers[:, 1:]
            result = torch.cat([result[:, :2], result[:, 2:] + own], 1)
        return result.clamp(0, 1)

    def _blue_amplitude(self, amplitude: float | Tensor) -> float | Tensor:
        if isinstance(amplitude, Tensor):
            return torch.maximum(self.blue * amplitude, amplitude.clamp_max(self.least_blue))
        return max(self.blue * amplitude, min(amplitude, self.least_blue))

    def _layers(self, canvas: Canvas, parameters: Tensor) -> Tensor:
        """The grain of each layer, of about unit variance where the parameters have it."""
        size = _sigma(self.size, canvas)
        brightness = grain(parameters[:, :1], size)
        if not self.blue:
            return brightness
        blue = grain(parameters[:, 1:], size)
        return torch.cat([brightness, blue - gaussian_blur(blue, max(0.8, self.slow / canvas.pixel))], 1)


def _sigma(size: float, canvas: Canvas) -> float:
    """A grain's size in pixels of the canvas."""
    return max(_FINEST, size / canvas.pixel)


@lru_cache(maxsize=4)
def _strength(clean: Tensor) -> Tensor:
    """:func:`strength_map` of a picture that nobody changes; kept, for a search asks in every step."""
    return strength_map(clean)


@lru_cache(maxsize=4)
def _colour(clean: Tensor) -> Tensor:
    """``(1, 3, H, W)``: how far each colour moves where brightness moves by 1. Hues stay about as they are."""
    ratio = clean / luminance(clean).clamp_min(_DARKEST)
    return _NEUTRAL * ratio.clamp_max(1) + (1 - _NEUTRAL) * ratio


@lru_cache(maxsize=8)
def _unevenness(power: float, size: tuple[int, int]) -> Tensor:
    """``(1, 1, H, W)`` with a mean square of 1, the same for every picture of that size."""
    uneven = grain(normal((1, 1, *size), _UNEVENNESS_SEED, torch.zeros(())), 0.45).abs() ** power
    return uneven / uneven.square().mean().sqrt()


@lru_cache(maxsize=8)
def _loose(size: tuple[int, int]) -> Tensor:
    """``(1, 1, H, W)`` white noise, the same for every picture of that size."""
    return normal((1, 1, *size), _LOOSE_SEED, torch.zeros(()))
