"""What a published picture goes through, differentiable: JPEG, resize, blur, crop.

Each :class:`Transform` maps ``(B, 3, H, W)`` float32 RGB in [0, 1] to the same with another size, and tells
where a box of the input lies in the output. Expectation over transformations: Athalye et al., ICML 2018.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack.separable import filtered
from cloak.detectors.geometry.rendering import IDENTITY, Affine, Rendering
from provenance.errors import UsageError

# ITU-T T.81, tables K.1 and K.2
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF 1.02: full-range BT.601
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class Transform:
    """A named step that a picture goes through. It keeps no state.

    Attributes:
        name: what reports call it, for example ``jpeg75`` or ``half``.
        render: the step itself, from one rendering to the next.
        affine: how it moves places of the picture.
    """

    name: str
    render: Callable[[Rendering], Rendering]
    affine: Affine = IDENTITY

    @classmethod
    def of_pixels(cls, name: str, change: Callable[[Tensor], Tensor], affine: Affine = IDENTITY) -> Transform:
        """A step that needs the pixels alone.

        Args:
            name: see there.
            change: from ``(B, 3, H, W)`` to pixels of perhaps another size.
            affine: how it moves places.
        """

        def render(given: Rendering) -> Rendering:
            return Rendering(change(given.pixels), given.frame, given.affine.then(affine))

        return cls(name, render, affine)

    def __call__(self, pictures: Tensor) -> Tensor:
        """The step on pixels ``(B, 3, H, W)`` of a whole patch or picture."""
        return self.render(Rendering(pictures)).pixels

    @property
    def scale(self) -> float:
        """Width of the output divided by the width of what is kept of the input."""
        return self.affine.scale[0]

    def boxes(self, boxes: Tensor) -> Tensor:
        """Where ``(N, 4)`` boxes of the input lie in the output."""
        return self.affine.boxes(boxes)

    def then(self, later: Transform) -> Transform:
        """This step, and ``later`` on its result."""
        return Transform(
            f"{self.name}+{later.name}",
            lambda given: later.render(self.render(given)),
            self.affine.then(later.affine),
        )


def identity() -> Transform:
    """The picture as it is."""
    return Transform("as published", lambda given: given)


def jpeg(quality: int, *, subsample: bool = True) -> Transform:
    """A JPEG round trip at a libjpeg quality of 1 to 100, chroma halved unless ``subsample`` is false."""
    if not 1 <= quality <= 100:
        raise UsageError(f"JPEG quality is 1 to 100, not {quality}")
    return Transform.of_pixels(
        f"jpeg{quality}", lambda pictures: jpeg_round_trip(pictures, quality, subsample)
    )


def resize(factor: float, *, mode: str = "bilinear") -> Transform:
    """Antialiased resize of both sides by ``factor``; ``mode`` is ``bilinear``, ``bicubic`` or ``area``."""
    if not 0 < factor <= 8:
        raise UsageError(f"a resize factor lies in (0, 8], not {factor}")
    if mode not in ("bilinear", "bicubic", "area"):
        raise UsageError(f"unknown way to resize {mode!r}")

    def apply(pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        if mode == "area":
            return functional.interpolate(pictures, size=size, mode="area")
        out = functional.interpolate(pictures, size=size, mode=mode, antialias=True, align_corners=False)
        return out if mode == "bilinear" else out.clamp(0, 1)

    return Transform.of_pixels("half" if factor == 0.5 else f"x{factor:g}", apply, Affine((factor, factor)))


def blur(sigma: float) -> Transform:
    """Gaussian blur; ``sigma`` in pixels."""
    if not 0 < sigma <= 32:
        raise UsageError(f"a blur's sigma lies in (0, 32] pixels, not {sigma}")
    return Transform.of_pixels(f"blur{sigma:g}", lambda pictures: gaussian_blur(pictures, sigma))


def crop_shift(dx: int, dy: int) -> Transform:
    """Cut ``dx`` columns off the left and ``dy`` rows off the top: other pixel grids meet other strides."""
    return Transform.of_pixels(
        f"shift{dx},{dy}", lambda pictures: pictures[..., dy:, dx:], Affine(offset=(dx, dy))
    )


def crop(left: int, top: int, right: int, bottom: int) -> Transform:
    """Only the part between these columns and rows; what reaches beyond the picture is left out."""
    left, top = max(0, left), max(0, top)
    return Transform.of_pixels(
        f"crop{left},{top},{right},{bottom}",
        lambda pictures: pictures[..., top:bottom, left:right],
        Affine(offset=(left, top)),
    )


def stretch(down: float, across: float, multiple: int) -> Transform:
    """Bilinear resize by two factors, then the borders repeated up to a multiple of so many pixels a side."""

    def apply(pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        size = (max(1, round(height * down)), max(1, round(width * across)))
        if size != (height, width):
            pictures = functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
        return functional.pad(pictures, (0, -size[1] % multiple, 0, -size[0] % multiple), mode="replicate")

    return Transform.of_pixels(f"stretch{down:g},{across:g}", apply, Affine((across, down)))


def warp(places: Tensor, size: Sequence[int], rng: random.Random, amount: float = 0.15) -> Transform:
    """Turn each place a little about its middle, and move its parts a little against each other, all smoothly.

    As faces are seen a little turned and a little different, noise that works only on this very face works less (block
    shuffling and rotation for detectors: Wang et al., "Boosting Adversarial Transferability by Block Shuffle and
    Rotation", CVPR 2024, without tearing the face apart). Boxes are taken to stay where they are.

    Args:
        places: ``(N, 4)`` boxes in pixels.
        size: height and width of the pictures it will be given.
        rng: draws the bend.
        amount: the largest turn in radians; parts move by up to a quarter of this share of a place's side.
    """
    height, width = size
    y, x = (torch.arange(side, dtype=torch.float32, device=places.device) + 0.5 for side in (height, width))
    y, x = y[:, None].expand(height, width), x[None].expand(height, width)
    from_x, from_y = x.clone(), y.clone()
    side = float((places[:, 2:] - places[:, :2]).mean()) if len(places) else float(min(height, width))
    for x1, y1, x2, y2 in places.tolist():
        turn = (rng.random() * 2 - 1) * amount
        across, down = x - (x1 + x2) / 2, y - (y1 + y2) / 2
        near = torch.exp(-(((across**2 + down**2) / max(x2 - x1, y2 - y1, 1.0) ** 2) ** 2))
        from_x += near * (across * (math.cos(turn) - 1) - down * math.sin(turn))
        from_y += near * (down * (math.cos(turn) - 1) + across * math.sin(turn))
    knots = max(2, min(12, round(max(height, width) / max(side / 3, 4.0))))
    drawn = torch.rand(1, 2, knots, knots, generator=torch.Generator().manual_seed(rng.randrange(2**31)))
    moves = functional.interpolate(
        (drawn * 2 - 1).to(places.device) * (amount * side / 4),
        (height, width),
        mode="bicubic",
        align_corners=False,
    )[0]
    grid = torch.stack([(from_x + moves[0]) / width, (from_y + moves[1]) / height], -1)[None] * 2 - 1

    def apply(pictures: Tensor) -> Tensor:
        grids = grid.to(pictures).expand(len(pictures), -1, -1, -1)
        return functional.grid_sample(pictures, grids, padding_mode="border", align_corners=False)

    return Transform.of_pixels("warp", apply)


def round_through(values: Tensor) -> Tensor:
    """Round; the gradient passes unchanged (straight-through estimator)."""
    return values + (values.round() - values).detach()


def quantise(pictures: Tensor) -> Tensor:
    """Round [0, 1] to 255ths, as eight-bit pixels do; the gradient passes."""
    return round_through(pictures.clamp(0, 1) * 255) / 255


def gaussian_blur(pictures: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of ``(B, C, H, W)`` with reflected (for small sides: repeated) borders."""
    radius = max(1, math.ceil(3 * sigma))
    taps = torch.arange(-radius, radius + 1, dtype=pictures.dtype, device=pictures.device)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    border = "reflect" if radius < min(pictures.shape[-2:]) else "replicate"
    return filtered(functional.pad(pictures, (radius,) * 4, mode=border), kernel, kernel)


def jpeg_round_trip(pictures: Tensor, quality: int, subsample: bool = True) -> Tensor:
    """What a baseline JPEG encoder and decoder leave of ``(B, 3, H, W)`` pictures in [0, 1].

    The forward pass rounds as the encoder does; the backward pass lets the gradient through the rounding.
    """
    height, width = pictures.shape[-2:]
    block = 16 if subsample else 8
    padded = functional.pad(pictures, (0, -width % block, 0, -height % block), mode="replicate")
    to_ycbcr = padded.new_tensor(_TO_YCBCR)
    ycbcr = torch.einsum("ij,bjhw->bihw", to_ycbcr, padded * 255)
    luma = _code_plane(ycbcr[:, :1] - 128, _table(_LUMA, quality).to(padded)) + 128
    chroma = ycbcr[:, 1:]
    if subsample:
        chroma = functional.avg_pool2d(chroma, 2)
    chroma = _code_plane(chroma, _table(_CHROMA, quality).to(padded))
    if subsample:
        chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    to_rgb = padded.new_tensor(_TO_RGB)
    rgb = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma, chroma], 1))
    return quantise(rgb[..., :height, :width] / 255)


def _code_plane(plane: Tensor, table: Tensor) -> Tensor:
    """DCT each 8x8 block, quantise by ``table`` (8, 8), and return."""
    batch, channels, height, width = plane.shape
    basis = _dct_basis().to(plane)
    blocks = plane.reshape(batch, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    coefficients = blocks.reshape(-1, 64) @ basis.T
    coded = round_through(coefficients / table.reshape(64)) * table.reshape(64)
    decoded = (coded @ basis).reshape(batch, channels, height // 8, width // 8, 8, 8)
    return decoded.permute(0, 1, 2, 4, 3, 5).reshape(batch, channels, height, width)


@lru_cache(maxsize=1)
def _dct_basis() -> Tensor:
    """The orthonormal DCT-II of 8 x 8 pixels, ``(64, 64)``: a coefficient in each row."""
    frequency = torch.arange(8, dtype=torch.float32).view(8, 1)
    position = torch.arange(8, dtype=torch.float32).view(1, 8)
    basis = torch.cos((2 * position + 1) * frequency * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return torch.kron(basis, basis)


@lru_cache(maxsize=256)
def _table(base: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """A quantisation table scaled as libjpeg does."""
    percent = 5000 // quality if quality < 50 else 200 - quality * 2
    table = (torch.tensor(base, dtype=torch.int64) * percent + 50) // 100
    return table.clamp(1, 255).to(torch.float32)
