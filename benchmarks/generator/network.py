"""The network that proposes the grain of a film veil: a picture and its faces in, the field of grain out.

A small U-Net (Ronneberger et al., MICCAI 2015) without any fully connected layer, so it takes pictures of any size. It
works on blocks of two by two pixels, out of which grain is put together again. Skin is smooth, and from what is smooth
no convolution makes a texture; so the network is also shown random grain, which it may shape, and waves in the face's
own coordinates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.veils.base import normal

#: Sides are padded to a multiple of so many pixels.
MULTIPLE = 16
#: Channels at a half, a quarter, an eighth and a sixteenth of the size.
_WIDTHS = (16, 32, 64, 96)
_BLOCK, _GROUP = 2, 16
#: Waves across and down a face: periods in a side.
_WAVES = (2, 4, 8, 16)
_PLACE_CHANNELS = 4 + 4 * len(_WAVES)
#: The seed of the grain that nobody searches, see :mod:`cloak.veils.film`: the network is shown what lies over its own.
_LOOSE_SEED = 77
#: A face of so many pixels is neither large nor small; no place is farther from a face than so many of its sides.
_USUAL_SIDE, _FARTHEST = 128.0, 2.0


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width // _GROUP, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.silu(self.norm(self.first(values))))
        return functional.silu(values + changed)


class GrainNetwork(nn.Module):
    """Proposes the field of grain of a picture."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = _WIDTHS
        self.stem = nn.Conv2d(5 * _BLOCK**2 + _PLACE_CHANNELS, half, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.SiLU(), _Residual(b))
            for a, b in ((half, quarter), (quarter, eighth), (eighth, sixteenth))
        )
        self.middle = _Residual(sixteenth)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a + b, b, 3, padding=1), nn.SiLU(), _Residual(b))
            for a, b in ((sixteenth, eighth), (eighth, quarter), (quarter, half))
        )
        self.head = nn.Conv2d(half, 2 * _BLOCK**2, 3, padding=1)

    def forward(self, pictures: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """The field of grain, of about unit variance.

        Args:
            pictures: ``(B, 3, H, W)`` in [0, 1]; both sides multiples of :data:`MULTIPLE`.
            noise: ``(B, 2, H, W)`` of unit variance.
            places: ``(B, C, H / 2, W / 2)``, see :func:`place_maps`.

        Returns:
            ``(B, 2, H, W)``: grain of brightness, and of the blue layer.
        """
        blocks = functional.pixel_unshuffle(torch.cat([pictures * 2 - 1, noise], 1), _BLOCK)
        values = functional.silu(self.stem(torch.cat([blocks, places], 1)))
        passed = []
        for down in self.down:
            passed.append(values)
            values = down(values)
        values = self.middle(values)
        for up, finer in zip(self.up, reversed(passed), strict=True):
            values = up(torch.cat([functional.interpolate(values, scale_factor=2.0), finer], 1))
        return functional.pixel_shuffle(self.head(values), _BLOCK)


def place_maps(size: tuple[int, int], faces: Tensor) -> Tensor:
    """Where each block of pixels lies in the nearest face.

    Args:
        size: height and width in pixels, multiples of 2.
        faces: ``(N, 4)`` ``x1 y1 x2 y2`` in pixels, at least one.

    Returns:
        ``(1, C, H / 2, W / 2)``: across and down from the middle of the face in its sides, at most 2; 1 in the face and
        0 elsewhere; the logarithm of the face's side, 0 at 128 pixels; and sines and cosines of across and down.
    """
    ys = torch.arange(size[0] // _BLOCK, dtype=torch.float32).view(-1, 1) * _BLOCK + 1.0
    xs = torch.arange(size[1] // _BLOCK, dtype=torch.float32).view(1, -1) * _BLOCK + 1.0
    nearest = torch.full((size[0] // _BLOCK, size[1] // _BLOCK), torch.inf)
    maps = torch.zeros(4, *nearest.shape)
    for x1, y1, x2, y2 in faces.cpu().tolist():
        side = max(x2 - x1, y2 - y1, 1.0)
        across = ((xs - (x1 + x2) / 2) / side).expand_as(nearest)
        down = ((ys - (y1 + y2) / 2) / side).expand_as(nearest)
        distance = torch.maximum(across.abs(), down.abs())
        inside = ((xs >= x1) & (xs <= x2) & (ys >= y1) & (ys <= y2)).float()
        level = torch.full_like(nearest, side / _USUAL_SIDE).log2()
        own = torch.stack(
            [across.clamp(-_FARTHEST, _FARTHEST), down.clamp(-_FARTHEST, _FARTHEST), inside, level]
        )
        closer = distance < nearest
        maps = torch.where(closer, own, maps)
        nearest = torch.where(closer, distance, nearest)
    turns = torch.cat([2 * math.pi * count * maps[:2] for count in _WAVES])
    return torch.cat([maps, turns.sin(), turns.cos()])[None].to(faces.device)


def propose(network: nn.Module, clean: Tensor, faces: Tensor) -> Tensor:
    """The field of grain ``(1, 2, H, W)`` for a picture of any size.

    Args:
        network: a :class:`GrainNetwork`.
        clean: ``(1, 3, H, W)`` in [0, 1].
        faces: ``(N, 4)`` in pixels, at least one.
    """
    height, width = clean.shape[-2:]
    padded = functional.pad(clean, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    size = (padded.shape[-2], padded.shape[-1])
    loose = normal((1, 2, height, width), _LOOSE_SEED, padded)
    noise = functional.pad(loose, (0, size[1] - width, 0, size[0] - height))
    field: Tensor = network(padded, noise, place_maps(size, faces))
    return field[..., :height, :width]
