"""The generator's losses: pure functions of pictures ``(N, 3, S, S)`` in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, l1_loss

from synth.swap.config import LossWeights
from synth.swap.training.augment import Batch

Features = Callable[[Tensor], Sequence[Tensor]]
_C1, _C2 = 0.01**2, 0.03**2
_TAPS, _SIGMA = 11, 1.5


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of each pixel and channel, ``(N, 3, S - 10, S - 10)``, at most 1.

    Wang et al., IEEE TIP 2004, Gaussian window of 11 taps and sigma 1.5, valid positions only.
    """
    count = first.shape[1]
    stack = torch.cat([first, second, first * first, second * second, first * second], 1)
    mean_a, mean_b, aa, bb, ab = torch.split(_windowed(stack), count, 1)
    var_a, var_b, cov = aa - mean_a * mean_a, bb - mean_b * mean_b, ab - mean_a * mean_b
    top = (2 * mean_a * mean_b + _C1) * (2 * cov + _C2)
    result: Tensor = top / ((mean_a * mean_a + mean_b * mean_b + _C1) * (var_a + var_b + _C2))
    return result


def _windowed(planes: Tensor) -> Tensor:
    """The Gaussian window along both sides, as two products with banded matrices: faster than a grouped convolution."""
    down, across = (_bands(side, planes.device, planes.dtype) for side in planes.shape[-2:])
    return down @ planes.contiguous() @ across.T


@lru_cache(maxsize=16)
def _bands(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``(side - 10, side)``: each row is the window, one further than the row above."""
    taps = torch.arange(_TAPS) - _TAPS // 2
    window = torch.exp(-(taps**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    rows = torch.zeros(side - _TAPS + 1, side)
    for row in range(len(rows)):
        rows[row, row : row + _TAPS] = window
    return rows.to(device, dtype)


def pixel_weights(batch: Batch, weights: LossWeights) -> Tensor:
    """Loss weight of each pixel, ``(N, 1, S, S)``; the mean over a batch is 1."""
    raw = weights.background + (1 - weights.background) * batch.mask + weights.details * batch.details
    return raw / raw.mean()


def feature_distance(features: Features, first: Tensor, second: Tensor) -> Tensor:
    """Mean over a network's layers of the difference of its features, each divided by their own mean size."""
    with torch.no_grad():
        wanted = [layer.detach() for layer in features(second)]
    terms = []
    for made, goal in zip(features(first), wanted, strict=True):
        terms.append(l1_loss(made, goal) / goal.abs().mean().clamp_min(1e-6))
    return torch.stack(terms).mean()


def reconstruction(
    made: Tensor, mask: Tensor, batch: Batch, weights: LossWeights, features: Features | None
) -> dict[str, Tensor]:
    """The weighted terms by name; their sum is the loss. In single precision, whatever the network computed in.

    Args:
        made: ``(N, 3, S, S)``, the decoder's colours.
        mask: ``(N, 1, S, S)``, its mask.
        batch: what was wanted.
        weights: factors.
        features: a frozen network's layers, or None.
    """
    made, mask = made.float(), mask.float()
    each = pixel_weights(batch, weights)
    inner = each[..., _TAPS // 2 : -(_TAPS // 2), _TAPS // 2 : -(_TAPS // 2)]
    terms = {
        "dssim": weights.dssim * ((1 - ssim_map(made, batch.wanted)) / 2 * inner).mean(),
        "l1": weights.l1 * ((made - batch.wanted).abs() * each).mean(),
        "mask": weights.mask * binary_cross_entropy(mask, batch.mask),
    }
    if features is not None and weights.feature > 0:
        terms["feature"] = weights.feature * feature_distance(
            features, on_face(made, batch), on_face(batch.wanted, batch)
        )
    return terms


def on_face(pictures: Tensor, batch: Batch) -> Tensor:
    """Pictures with the target's background, so that only the face is compared."""
    return batch.wanted.lerp(pictures, batch.mask)
