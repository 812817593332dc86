"""What somebody may do to clean a picture of a veil, with gradients: median, non-local means, a chain of encoders.

Blur and resize are in :mod:`cloak.attack.transforms`. One of all these is drawn at random for each step of a search, so
that a step costs no more than one condition.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack import transforms
from cloak.attack.transforms import Transform

#: Non-local means looks so far, in steps of so many pixels; patches are 5 pixels wide.
_REACH, _STEP, _PATCH = 4, 2, 5


def median3() -> Transform:
    """The median of 3 by 3 pixels of each channel; gradients go to the pixel that was chosen."""
    return Transform.of_pixels("median3", _median3)


def _median3(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    places = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(places, -1).median(-1).values


def non_local_means(strength: float) -> Transform:
    """Non-local means (Buades, Coll & Morel, CVPR 2005) over every second neighbour within 4 pixels.

    Weights come from the brightness of patches, and are taken as they are on the way back: gradients pass through the
    average alone.

    Args:
        strength: the filter's ``h``, in shares of the whole range: patches that differ by less are averaged.
    """
    return Transform.of_pixels(f"nlm{strength:g}", lambda pictures: _non_local_means(pictures, strength))


def _non_local_means(pictures: Tensor, strength: float) -> Tensor:
    height, width = pictures.shape[-2:]
    border = functional.pad(pictures, (_REACH,) * 4, mode="replicate")
    luma = border.detach().mean(1, keepdim=True)
    own = luma[..., _REACH : _REACH + height, _REACH : _REACH + width]
    total, weights = pictures, torch.ones_like(own)
    for down in range(-_REACH, _REACH + 1, _STEP):
        for across in range(-_REACH, _REACH + 1, _STEP):
            if down == across == 0:
                continue
            rows = slice(_REACH + down, _REACH + down + height)
            columns = slice(_REACH + across, _REACH + across + width)
            gap = (luma[..., rows, columns] - own).square()
            distance = functional.avg_pool2d(gap, _PATCH, 1, _PATCH // 2, count_include_pad=False)
            weight = torch.exp(-distance / strength**2)
            total = total + weight * border[..., rows, columns]
            weights = weights + weight
    return total / weights


def encoder_chain(rng: random.Random) -> Transform:
    """As pictures travel through two services: encoded, made a little smaller, and encoded again."""
    return (
        transforms.jpeg(rng.randrange(70, 93))
        .then(transforms.resize(rng.uniform(0.7, 0.95), mode=rng.choice(("bilinear", "bicubic"))))
        .then(transforms.jpeg(rng.randrange(65, 88)))
    )


def random_cleaning(rng: random.Random, most_blur: float = 2.0) -> Transform:
    """One of the ways to clean a picture, most often a blur or another size."""
    kind = rng.random()
    if kind < 0.35:
        return transforms.blur(rng.uniform(0.4, most_blur))
    if kind < 0.55:
        return transforms.resize(rng.uniform(0.6, 1.1))
    if kind < 0.7:
        return median3()
    if kind < 0.85:
        return non_local_means(rng.uniform(0.03, 0.1))
    return encoder_chain(rng)
