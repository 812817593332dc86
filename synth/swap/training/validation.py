"""How well a generator rebuilds faces that it was never trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from provenance.errors import UsageError
from synth.swap.features import FeatureNet
from synth.swap.model import Generator
from synth.swap.training.data import Bank
from synth.swap.training.losses import feature_distance, on_face, ssim_map

_BATCH = 32


@torch.no_grad()
def held_out_measures(
    generator: Generator, banks: dict[str, Bank], features: FeatureNet | None
) -> dict[str, float]:
    """How well each decoder reconstructs held-out faces of its own person; means over persons and faces.

    Returns:
        ``ssim`` (on the face, at most 1), ``psnr`` (dB, on the face), ``mask`` (mean absolute error, 0 to 1), with
        ``features`` also ``feature`` (relative difference of the network's features), and ``measure``, by which the
        recipe decides: ``feature``, or ``1 - ssim`` without a network. Lower is better. ``sharpness`` is the share of
        the photographs' fine detail (energy of the Laplacian) that the pictures have.
    """
    sums: dict[str, float] = {}
    total = sum(len(bank) for bank in banks.values())
    generator.eval()
    for side, bank in banks.items():
        for start in range(0, len(bank), _BATCH):
            plain = bank.plain(slice(start, start + _BATCH))
            colours, mask = generator.as_person(plain.seen, side)
            made = on_face(colours, plain)
            weight = plain.mask / plain.mask.mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
            error = ((made - plain.wanted).square() * weight).mean((1, 2, 3))
            values = {
                "ssim": _weighted(ssim_map(made, plain.wanted), _inner(plain.mask)),
                "psnr": -10 * torch.log10(error.clamp_min(1e-10)),
                "mask": (mask - plain.mask).abs().mean((1, 2, 3)),
                "sharpness": _detail(made) / _detail(plain.wanted).clamp_min(1e-9),
            }
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value.sum())
            if features is not None:
                far = float(feature_distance(features, made, plain.wanted)) * len(plain.mask)
                sums["feature"] = sums.get("feature", 0.0) + far
    means = {name: value / total for name, value in sums.items()}
    means["measure"] = means["feature"] if features is not None else 1 - means["ssim"]
    if not all(math.isfinite(value) for value in means.values()):
        raise UsageError(
            "the training diverged: what it makes is no number any more", hint="use a lower rate"
        )
    return means


def _weighted(values: Tensor, weight: Tensor) -> Tensor:
    return (values.mean(1, keepdim=True) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


def _inner(weight: Tensor) -> Tensor:
    return weight[..., 5:-5, 5:-5]


def _detail(pictures: Tensor) -> Tensor:
    grey = pictures.mean(1, keepdim=True)
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return (around - 4 * grey[..., 1:-1, 1:-1]).square().mean((1, 2, 3))
