"""What grain of photographic film looks like: its spectrum, and how strong it is where.

Newson et al., "A Stochastic Film Grain Model for Resolution-Independent Rendering" (Computer Graphics Forum 2017):
grains are discs at random places; the picture is the share of the area that they cover, seen through a Gaussian. Two
things of that model are kept here: the variance of a covered share ``u`` is proportional to ``u (1 - u)``, so grain is
strongest in the middle tones; and the spectrum is that of white noise seen through a small soft disc, flat up to the
size of a grain and falling beyond it, without any direction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cloak.attack.transforms import gaussian_blur
from cloak.veils.base import luminance

#: Share of its full strength that grain keeps in deep shadow and in highlights.
_FLOOR = 0.35
#: Share that it keeps on perfectly smooth areas; texture gets all of it (contrast masking, Legge & Foley 1980).
_SMOOTH_SHARE = 0.7
#: Local deviation of brightness, in levels of 255, from which on an area is texture.
_TEXTURE_LEVELS = 12.0
#: Over this share of the frequencies of the shorter side power is averaged before it is cut down.
_SPECTRUM_SHARE = 0.015


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


def local_energy(layers: Tensor, sigma: float) -> Tensor:
    """Mean square of each layer around each pixel, over a Gaussian of ``sigma`` pixels."""
    return gaussian_blur(layers.square(), sigma).clamp_min(0)


def strength_map(clean: Tensor) -> Tensor:
    """``(1, 1, H, W)`` in (0, 1]: how strong grain is at each pixel of a ``(1, 3, H, W)`` picture."""
    with torch.no_grad():
        luma = luminance(clean)
        tone = gaussian_blur(luma, 2.0)
        bow = _FLOOR + (1 - _FLOOR) * (4 * tone * (1 - tone)).clamp(0, 1).sqrt()
        mean = gaussian_blur(luma, 1.5)
        deviation = (gaussian_blur(luma.square(), 1.5) - mean.square()).clamp_min(0).sqrt() * 255
        texture = gaussian_blur((deviation / _TEXTURE_LEVELS).clamp(0, 1), 2.0)
        return bow * (_SMOOTH_SHARE + (1 - _SMOOTH_SHARE) * texture)


def soft_limit(values: Tensor, most: float) -> Tensor:
    """Values as they are while small, never beyond ``most``."""
    return most * torch.tanh(values / most)


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
