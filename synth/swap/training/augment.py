"""Random augmentation of training faces, on the device, a whole batch at a time.

The encoder's input is warped and degraded ("crappified"); the target is not. Rotation, zoom, shift, mirroring and
colour are the same for both. The channel that shows how far eyes and mouth are open is never degraded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from synth.swap.config import Augmentation

_WARP_POINTS = 5


@dataclass(frozen=True)
class Batch:
    """Faces of one person, ready for a step.

    Attributes:
        seen: ``(N, 4, S, S)`` in [0, 1], the encoder's input, see :func:`encoder_input`.
        wanted: the same faces undistorted, the decoder's target.
        mask, details: ``(N, 1, S, S)`` in [0, 1], belonging to ``wanted``.
    """

    seen: Tensor
    wanted: Tensor
    mask: Tensor
    details: Tensor


def augmented(
    faces: Tensor, mask: Tensor, details: Tensor, how: Augmentation, draws: torch.Generator
) -> Batch:
    """Change a batch at random.

    Args:
        faces: ``(N, 3, S, S)`` in [0, 1].
        mask, details: ``(N, 1, S, S)`` in [0, 1].
        how: how much.
        draws: the random numbers; on the faces' device.
    """
    count, _, side, _ = faces.shape
    place = affine_grid(_affine(count, how, draws, faces), [count, 3, side, side], align_corners=False)
    stack = torch.cat([faces, mask, details], 1).contiguous(memory_format=torch.channels_last)
    moved = grid_sample(stack, place, padding_mode="reflection", align_corners=False)
    warped = place + _warp(count, side, how.warp, draws, faces)
    distorted = grid_sample(stack[:, :4], warped, padding_mode="reflection", align_corners=False)
    gain, shift, saturation = _colours(count, how.colour, draws, faces)
    wanted = recoloured(moved[:, :3], gain, shift, saturation)
    seen = recoloured(distorted[:, :3], gain, shift, saturation)
    if how.crappify > 0:
        seen = crappified(seen, how.crappify, draws)
    mask, details = moved[:, 3:4].clamp(0, 1), moved[:, 4:5].clamp(0, 1)
    return Batch(encoder_input(seen, distorted[:, 3:4], details), wanted, mask, details)


def encoder_input(pictures: Tensor, mask: Tensor, details: Tensor) -> Tensor:
    """The encoder's input, ``(N, 4, S, S)``: the face alone, and a fourth channel that shows where eyes and mouth are
    open. Colours alone would teach the opening badly: they differ between people and are degraded in training.

    Args:
        pictures: ``(N, 3, S, S)`` in [0, 1].
        mask, details: ``(N, 1, S, S)`` in [0, 1], of :func:`synth.extraction.canonical.face_mask` and ``detail_mask``.
    """
    return torch.cat([face_alone(pictures, mask), details.clamp(0, 1)], 1)


def face_alone(pictures: Tensor, mask: Tensor) -> Tensor:
    """Pictures with everything outside of the face made grey. Background and hair would tell the encoder who it is; the
    other person's decoder has never seen them.

    Args:
        pictures: ``(N, 3, S, S)``.
        mask: ``(N, 1, S, S)`` in [0, 1].
    """
    return 0.5 + (pictures - 0.5) * mask.clamp(0, 1)


def _uniform(shape: tuple[int, ...], draws: torch.Generator, like: Tensor) -> Tensor:
    """Between -1 and 1."""
    return torch.rand(shape, generator=draws, device=like.device, dtype=like.dtype) * 2 - 1


def _affine(count: int, how: Augmentation, draws: torch.Generator, like: Tensor) -> Tensor:
    """``(N, 2, 3)`` for :func:`affine_grid`."""
    u = _uniform((count, 5), draws, like)
    angle = u[:, 0] * math.radians(how.rotation)
    scale = torch.exp(u[:, 1] * how.zoom)
    mirror = torch.where(u[:, 4] < 2 * how.flip - 1, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cosine * mirror, -sine, u[:, 2] * 2 * how.shift, sine * mirror, cosine, u[:, 3] * 2 * how.shift]
    return torch.stack(rows, 1).view(count, 2, 3)


def _warp(count: int, side: int, strength: float, draws: torch.Generator, like: Tensor) -> Tensor:
    """``(N, S, S, 2)``: a coarse grid of random shifts, made smooth; in units of half the side."""
    shape = (count, 2, _WARP_POINTS, _WARP_POINTS)
    coarse = torch.randn(shape, generator=draws, device=like.device, dtype=like.dtype).clamp(-2.5, 2.5)
    fine = interpolate(coarse * (2 * strength), size=(side, side), mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def _colours(
    count: int, strength: float, draws: torch.Generator, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gain and shift of each channel, and saturation."""
    u = _uniform((count, 8), draws, like) * strength
    gain = torch.exp(u[:, :1] + 0.3 * u[:, 1:4])
    return (
        gain.view(count, 3, 1, 1),
        (0.3 * u[:, 4:7]).view(count, 3, 1, 1),
        1 + u[:, 7:8].view(count, 1, 1, 1),
    )


def recoloured(pictures: Tensor, gain: Tensor, shift: Tensor, saturation: Tensor) -> Tensor:
    """Saturation, then gain and shift; in [0, 1]."""
    grey = pictures.mean(1, keepdim=True)
    return ((grey + (pictures - grey) * saturation) * gain + shift).clamp(0, 1)


def crappified(pictures: Tensor, strength: float, draws: torch.Generator) -> Tensor:
    """Degrade each picture by a random amount of blur, JPEG-like blocks and noise.

    Args:
        pictures: ``(N, 3, S, S)`` in [0, 1].
        strength: 0 to 1.
        draws: the random numbers.
    """
    count, _, side, _ = pictures.shape
    share = torch.rand((count, 4), generator=draws, device=pictures.device, dtype=pictures.dtype) * strength
    share = share.view(4, count, 1, 1, 1)
    half = interpolate(avg_pool2d(pictures, 2), size=(side, side), mode="bilinear", align_corners=False)
    quarter = interpolate(avg_pool2d(pictures, 4), size=(side, side), mode="bilinear", align_corners=False)
    worse = pictures.lerp(half, (2 * share[0]).clamp(0, 1)).lerp(quarter, share[1].square())
    worse = worse.lerp(_coarse_blocks(worse), share[2])
    noise = torch.randn(pictures.shape, generator=draws, device=pictures.device, dtype=pictures.dtype)
    return (worse + noise * (0.06 * share[3])).clamp(0, 1)


def _coarse_blocks(pictures: Tensor) -> Tensor:
    """8 x 8 blocks with only the sixteen lowest frequencies of the discrete cosine transform, quantised in steps of
    1/16.
    """
    count, channels, side, _ = pictures.shape
    base = _cosines(pictures.device, pictures.dtype)[:4]
    blocks = pictures.reshape(count, channels, side // 8, 8, side // 8, 8)
    low = torch.einsum("ui,ncyixj,vj->ncyuxv", base, blocks, base)
    low = (low * 16).round() / 16
    return torch.einsum("ui,ncyuxv,vj->ncyixj", base, low, base).reshape(pictures.shape)


@lru_cache(maxsize=8)
def _cosines(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The orthonormal 8-point DCT-II, ``(8, 8)``."""
    k, i = torch.arange(8).view(8, 1), torch.arange(8).view(1, 8)
    base = torch.cos(math.pi * (2 * i + 1) * k / 16) * math.sqrt(2 / 8)
    base[0] /= math.sqrt(2)
    return base.to(device, dtype)
