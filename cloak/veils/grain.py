"""What grain of photographic film looks like: its spectrum, and how strong it is where.

Newson et al., "A Stochastic Film Grain Model for Resolution-Independent Rendering" (Computer Graphics Forum 2017):
grains are discs at random places; the picture is the share of the area that they cover, seen through a Gaussian. Two
things of that model are kept here: the variance of a covered share ``u`` is proportional to ``u (1 - u)``, so grain is
strongest in the middle tones; and the spectrum is that of white noise seen through a small soft disc, flat up to the
size of a grain and falling beyond it, without any direction.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import torch
from torch import Tensor

from cloak.attack.transforms import gaussian_blur
from cloak.veils.base import luminance

#: Share of its full strength that grain keeps in highlights, and at most in deep shadow.
_FLOOR = 0.35
#: In black it has lost so much of its strength besides, in tones above the second number nothing: specks on dark skin,
#: around eyes and in hair read as dirt where the same specks on bright skin read as grain.
_LOST_IN_BLACK, _SHADOW = 0.4, 0.45
#: Share that it keeps on perfectly smooth areas; texture gets all of it (contrast masking, Legge & Foley 1980).
_SMOOTH_SHARE = 0.7
#: Local deviation of brightness, in levels of 255, from which on an area is texture.
_TEXTURE_LEVELS = 12.0
#: Over this share of the frequencies of the shorter side power is averaged before it is cut down.
_SPECTRUM_SHARE = 0.015
#: Sigmas of the Gaussians, in pixels, that part bands of frequencies.
_BANDS = (0.6, 1.0, 1.7, 3.0)


def grain(white: Tensor, sigma: float) -> Tensor:
    """White noise of unit variance as grain of unit variance.

    Args:
        white: ``(B, C, H, W)``.
        sigma: the grain's size as the standard deviation of a Gaussian, in pixels.
    """
    # a Gaussian of sigma s leaves 1 / (4 pi s^2) of the variance of white noise; below half a pixel the taps decide
    taps = torch.arange(-_radius(sigma), _radius(sigma) + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    left = float((kernel / kernel.sum()).square().sum())
    return gaussian_blur(white, sigma) / left


def _radius(sigma: float) -> int:
    return max(1, math.ceil(3 * sigma))


def flattened(white: Tensor, most: float) -> Tensor:
    """Parameters with no part of their spectrum stronger than ``most`` times the average, as white noise has none.

    Args:
        white: ``(1, C, H, W)``.
        most: at least 1.
    """
    height, width = white.shape[-2:]
    spectrum = torch.fft.rfft2(white)
    smooth = gaussian_blur(spectrum.abs().square(), max(1.0, _SPECTRUM_SHARE * min(height, width)))
    limit = most * smooth.mean((2, 3), keepdim=True)
    gain = (limit / smooth.clamp_min(1e-12)).clamp_max(1).sqrt()
    flat: Tensor = torch.fft.irfft2(spectrum * gain, s=(height, width))
    return flat


def evened(white: Tensor, sigma: float, most: float) -> Tensor:
    """Parameters in which no band of frequencies is anywhere much stronger than in white noise of their strength there.

    :func:`flattened` looks at the whole of them; a small face in a large patch has a spectrum of its own, and there a
    search builds labyrinths that the whole hardly shows. The bands overlap, so that it is the coarse ones, in which
    white noise has little, that are capped most.

    Args:
        white: ``(1, C, H, W)``.
        sigma: of the Gaussian over which power is averaged, in pixels.
        most: the largest power of a band, in shares of what white noise has there, at least 1.
    """
    total = local_energy(white, sigma)
    result, rest = torch.zeros_like(white), white
    for usual, width in zip(_band_power(), (*_BANDS, None), strict=True):
        slow = torch.zeros_like(white) if width is None else gaussian_blur(white, width)
        band, rest = rest - slow, slow
        power = local_energy(band, sigma)
        result = result + band * (most * usual * total / power.clamp_min(1e-12)).clamp_max(1).sqrt()
    return result


@lru_cache(maxsize=1)
def _band_power() -> tuple[float, ...]:
    """The share of white noise's power in each of the bands that Gaussians of :data:`_BANDS` leave."""
    point = torch.zeros(1, 1, 81, 81)
    point[..., 40, 40] = 1
    slow = [point, *(gaussian_blur(point, width) for width in _BANDS), torch.zeros_like(point)]
    return tuple(float((a - b).square().sum()) for a, b in itertools.pairwise(slow))


def local_energy(layers: Tensor, sigma: float) -> Tensor:
    """Mean square of each layer around each pixel, over a Gaussian of ``sigma`` pixels."""
    return gaussian_blur(layers.square(), sigma).clamp_min(0)


def tone_share(tone: Tensor) -> Tensor:
    """How strong grain is at a brightness in [0, 1], in shares of its full strength."""
    bow = _FLOOR + (1 - _FLOOR) * (4 * tone * (1 - tone)).clamp(0, 1).sqrt()
    return bow * (1 - _LOST_IN_BLACK * (1 - tone / _SHADOW).clamp(0, 1))


def strength_map(clean: Tensor) -> Tensor:
    """``(1, 1, H, W)`` in (0, 1]: how strong grain is at each pixel of a ``(1, 3, H, W)`` picture."""
    with torch.no_grad():
        luma = luminance(clean)
        bow = tone_share(gaussian_blur(luma, 2.0))
        mean = gaussian_blur(luma, 1.5)
        deviation = (gaussian_blur(luma.square(), 1.5) - mean.square()).clamp_min(0).sqrt() * 255
        texture = gaussian_blur((deviation / _TEXTURE_LEVELS).clamp(0, 1), 2.0)
        return bow * (_SMOOTH_SHARE + (1 - _SMOOTH_SHARE) * texture)


def soft_limit(values: Tensor, most: float) -> Tensor:
    """Values as they are while small, never beyond ``most``."""
    return most * torch.tanh(values / most)


def nearness(size: tuple[int, int], faces: Tensor) -> Tensor:
    """``(N, 1, H, W)`` in [0, 1], how much of what is around each pixel is each face's; the sum over faces is 1.

    Args:
        size: height and width in pixels.
        faces: ``(N, 4)`` ``x1 y1 x2 y2`` in pixels.
    """
    if len(faces) == 1:
        return torch.ones(1, 1, *size, device=faces.device)
    near = torch.cat([spread_share(size, one[None], reach=0.1, fade=1.0) for one in faces]).square() + 1e-4
    return near / near.sum(0, keepdim=True)


def spread_share(size: tuple[int, int], faces: Tensor, *, reach: float = 0.35, fade: float = 0.35) -> Tensor:
    """1 on the faces and ``reach`` face sizes around them, fading to 0 over another ``fade`` of that ellipse.

    Args:
        size: height and width in pixels.
        faces: ``(N, 4)`` ``x1 y1 x2 y2`` in pixels.

    Returns:
        ``(1, 1, H, W)`` in [0, 1].
    """
    height, width = size
    ys = torch.arange(height, device=faces.device, dtype=torch.float32).view(-1, 1) + 0.5
    xs = torch.arange(width, device=faces.device, dtype=torch.float32).view(1, -1) + 0.5
    share = torch.zeros(height, width, device=faces.device)
    for x1, y1, x2, y2 in faces.tolist():
        side = max(x2 - x1, y2 - y1, 1.0)
        across = ((xs - (x1 + x2) / 2) / ((x2 - x1) / 2 + reach * side)).abs()
        down = ((ys - (y1 + y2) / 2) / ((y2 - y1) / 2 + reach * side)).abs()
        distance = (across**3 + down**3) ** (1 / 3)
        share = torch.maximum(share, ((1 + fade - distance) / fade).clamp(0, 1))
    return share[None, None]
