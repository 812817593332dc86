"""FLIP as a differentiable function of one picture, the other one fixed.

FLIP (Andersson et al., "FLIP: A Difference Evaluator for Alternating Images", HPG 2020) says how much of a difference a
person notices who switches between two pictures, seen at 67 pixels a degree. The numbers are those of the authors'
reference program (package ``flip-evaluator``) within 1e-3, which the tests check; here gradients pass.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack.separable import filtered

#: Pixels a degree of the visual field: a screen of 3840 pixels and 0.7 m width, 0.7 m away.
PIXELS_PER_DEGREE = 0.7 * (3840 / 0.7) * math.pi / 180
_COLOUR_EXPONENT, _FEATURE_EXPONENT = 0.7, 0.5
_KNEE, _KNEE_VALUE = 0.4, 0.95
_FEATURE_WIDTH = 0.082
#: Contrast sensitivity, section 3.1: amplitude and width of the Gaussians of each opponent channel.
_ACHROMATIC, _RED_GREEN, _BLUE_YELLOW = ((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025))
# linear sRGB to XYZ under D65
_TO_XYZ = (
    (10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794),
    (2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897),
    (1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382),
)


class Flip:
    """FLIP against a fixed reference.

    Args:
        reference: ``(1, 3, H, W)`` sRGB in [0, 1].
        pixels_per_degree: how finely it is seen; fewer for a picture that is worked on smaller than it is shown.
    """

    def __init__(self, reference: Tensor, pixels_per_degree: float = PIXELS_PER_DEGREE) -> None:
        self.pixels_per_degree = pixels_per_degree
        with torch.no_grad():
            opponent = _opponent(reference)
            self._edges, self._points = _features(opponent, pixels_per_degree)
            self._lab = _perceived(opponent, pixels_per_degree)

    def error_map(self, picture: Tensor) -> Tensor:
        """``(1, 1, H, W)`` FLIP error in [0, 1] of each pixel of ``picture``, shaped as the reference."""
        opponent = _opponent(picture)
        edges, points = _features(opponent, self.pixels_per_degree)
        seen = _perceived(opponent, self.pixels_per_degree)
        distance = (_hyab(self._lab, seen) + 1e-6) ** _COLOUR_EXPONENT
        largest = _largest_distance()
        knee = _KNEE * largest
        colour = torch.where(
            distance < knee,
            _KNEE_VALUE / knee * distance,
            _KNEE_VALUE + (distance - knee) / (largest - knee) * (1 - _KNEE_VALUE),
        )
        gap = torch.maximum((self._edges - edges).abs(), (self._points - points).abs())
        feature = (gap / math.sqrt(2) + 1e-8) ** _FEATURE_EXPONENT
        error: Tensor = colour.clamp_min(1e-6) ** (1 - feature)
        return error


def _opponent(srgb: Tensor) -> Tensor:
    """sRGB as luminance, red-green and blue-yellow (YCxCz)."""
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(1e-4) + 0.055) / 1.055) ** 2.4)
    x, y, z = _ratios(linear).chunk(3, 1)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _ratios(linear: Tensor) -> Tensor:
    """XYZ as shares of the white's."""
    matrix = linear.new_tensor(_TO_XYZ)
    return torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(1, keepdim=True), linear)


def _perceived(opponent: Tensor, density: float) -> Tensor:
    """What contrast sensitivity leaves, as L*a*b* with Hunt's adjustment: colours show less in the dark."""
    achromatic, red_green, blue_yellow = opponent.chunk(3, 1)
    filtered = torch.cat(
        [
            _sum_of_gaussians(achromatic, _ACHROMATIC, density),
            _sum_of_gaussians(red_green, _RED_GREEN, density),
            _sum_of_gaussians(blue_yellow, _BLUE_YELLOW, density),
        ],
        1,
    )
    y = (filtered[:, :1] + 16) / 116
    ratios = torch.cat([y + filtered[:, 1:2] / 500, y, y - filtered[:, 2:] / 200], 1)
    matrix = ratios.new_tensor(_TO_XYZ)
    back = torch.linalg.inv(matrix / matrix.sum(1, keepdim=True))
    return _hunt_lab(torch.einsum("ij,bjhw->bihw", back, ratios).clamp(0, 1))


def _hunt_lab(linear: Tensor) -> Tensor:
    ratios = _ratios(linear)
    edge = 6 / 29
    scaled = torch.where(ratios > edge**3, ratios.clamp_min(1e-6) ** (1 / 3), ratios / (3 * edge**2) + 4 / 29)
    x, y, z = scaled.chunk(3, 1)
    lightness = 116 * y - 16
    return torch.cat([lightness, 0.01 * lightness * 500 * (x - y), 0.01 * lightness * 200 * (y - z)], 1)


def _hyab(first: Tensor, second: Tensor) -> Tensor:
    gap = first - second
    chroma: Tensor = (gap[:, 1:].square().sum(1, keepdim=True) + 1e-8).sqrt()
    return gap[:, :1].abs() + chroma


@lru_cache(maxsize=1)
def _largest_distance() -> float:
    """Between pure green and pure blue."""
    green, blue = (
        _hunt_lab(torch.tensor(colour).view(1, 3, 1, 1)) for colour in ((0.0, 1.0, 0), (0.0, 0, 1))
    )
    largest: float = float(_hyab(green, blue)) ** _COLOUR_EXPONENT
    return largest


@lru_cache(maxsize=64)
def _gaussian(width: float, density: float) -> Tensor:
    """Taps of a Gaussian whose Fourier transform is ``exp(-width f^2)``, f in cycles a degree."""
    radius = math.ceil(3 * math.sqrt(0.04 / (2 * math.pi**2)) * density)
    taps = torch.arange(-radius, radius + 1, dtype=torch.float32) / density
    return torch.exp(-(math.pi**2) / width * taps**2)


def _sum_of_gaussians(plane: Tensor, terms: tuple[tuple[float, float], ...], density: float) -> Tensor:
    kernels = [(a * math.pi / b, _gaussian(b, density).to(plane)) for a, b in terms]
    total = sum(weight * float(kernel.sum()) ** 2 for weight, kernel in kernels)
    parts = [_separable(plane, kernel, kernel) * (weight / total) for weight, kernel in kernels]
    return torch.stack(parts).sum(0)


def _features(opponent: Tensor, density: float) -> tuple[Tensor, Tensor]:
    """Strength of edges and of points, each ``(1, 1, H, W)``."""
    sigma = 0.5 * _FEATURE_WIDTH * density
    radius = math.ceil(3 * sigma)
    taps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    bell = torch.exp(-(taps**2) / (2 * sigma**2))
    first, second = _balanced(-taps * bell), _balanced((taps**2 / sigma**2 - 1) * bell)
    smooth = bell / bell.sum()
    first, second, smooth = (kernel.to(opponent) for kernel in (first, second, smooth))
    luminance = (opponent[:, :1] + 16) / 116

    def strength(kernel: Tensor) -> Tensor:
        across, down = _separable(luminance, kernel, smooth), _separable(luminance, smooth, kernel)
        return (across.square() + down.square() + 1e-10).sqrt()

    return strength(first), strength(second)


def _balanced(kernel: Tensor) -> Tensor:
    """Positive taps sum to 1, negative ones to -1."""
    return torch.where(kernel < 0, kernel / -kernel[kernel < 0].sum(), kernel / kernel[kernel > 0].sum())


def _separable(planes: Tensor, across: Tensor, down: Tensor) -> Tensor:
    radius = len(across) // 2
    return filtered(functional.pad(planes, (radius,) * 4, mode="replicate"), across, down)
