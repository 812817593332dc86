"""How good swapped faces are: reconstruction, identity, expression and pose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from provenance.errors import UsageError
from synth.extraction.canonical import INNER_LIPS
from synth.swap.features import FeatureNet
from synth.swap.model import Generator
from synth.swap.training.data import Bank
from synth.swap.training.losses import feature_distance, on_face, ssim_map

#: FaceMesh points: middle of the upper and of the lower lip's inner edge, and both eyes' outer corners.
_UPPER_LIP, _LOWER_LIP = 13, 14
_EYE_CORNERS = (33, 263)
_BATCH = 32


@torch.no_grad()
def held_out_measures(
    generator: Generator, banks: dict[str, Bank], features: FeatureNet | None
) -> dict[str, float]:
    """How well each person's own decoder brings back faces it was never trained on; means over persons and faces.

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


def mouth_openings(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far each mouth is open, as a share of the distance between the outer corners of the eyes.

    Args:
        landmarks: ``(N, 468, 2)`` or with depth, of FaceMesh.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    gap = np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=-1)
    eyes = np.linalg.norm(points[:, _EYE_CORNERS[0]] - points[:, _EYE_CORNERS[1]], axis=-1)
    return np.asarray(gap / np.maximum(eyes, 1e-6))


def correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Pearson's correlation of two series; 0 where one of them does not vary.

    Raises:
        UsageError: series of different lengths.
    """
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if a.shape != b.shape:
        raise UsageError(f"found series of {a.size} and {b.size} values")
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0


def landmark_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """How alike two faces move: the correlation over time of each landmark's coordinates, averaged, those that hardly
    move counted less (by their spread in ``first``).

    Args:
        first, second: ``(N, K, 2)`` of the same frames, in one coordinate system.
    """
    a, b = (np.asarray(one, np.float64).reshape(len(one), -1) for one in (first, second))
    spread = a.std(axis=0)
    if spread.sum() < 1e-9:
        return 0.0
    each = np.array([correlation(a[:, column], b[:, column]) for column in range(a.shape[1])])
    return float((each * spread).sum() / spread.sum())


def inner_mouth(landmarks: NDArray[np.floating]) -> NDArray[np.floating]:
    """The points of the lips' inner edge, ``(N, 20, 2)``."""
    return np.asarray(landmarks)[:, list(INNER_LIPS), :2]


def identity_share(
    made: NDArray[np.floating], wanted: NDArray[np.floating], other: NDArray[np.floating]
) -> float:
    """The share of faces whose embedding is nearer to the wanted person's mean than to the other's.

    Args:
        made: ``(N, D)`` embeddings of what was made.
        wanted, other: ``(M, D)``, ``(L, D)`` embeddings of photographs.
    """
    goal, rival = (np.asarray(one, np.float64).mean(0) for one in (wanted, other))
    faces = np.asarray(made, np.float64)
    nearer = np.linalg.norm(faces - goal, axis=1) < np.linalg.norm(faces - rival, axis=1)
    return float(nearer.mean()) if len(faces) else 0.0


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (0 for one value)."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0
