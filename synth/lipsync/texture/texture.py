"""Render the lower face for mouth shapes from the person's own frames ("Synthesizing Obama", 2017, section 4.2).

The candidates with the nearest shapes are warped onto the target lips and their jaw; the texture is their weighted
median, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.lipsync.shape import LIP_POINTS, Series
from synth.lipsync.texture.candidates import UPPER_BORDER, Candidates, warped_onto
from synth.lipsync.texture.frontal import Floats, Frontal, Pixels
from synth.lipsync.texture.teeth import Teeth

#: Weight of the mouth's position, relative to its form, when candidates are compared.
_PLACE = 0.3


@dataclass(frozen=True)
class TextureOptions:
    """How textures are made.

    Attributes:
        best, share: the ``best`` nearest candidates have ``share`` of the weight.
        steady: by how many frames (a Gaussian's sigma) the choice of candidates is smoothed over time.
        teeth: amount of the proxies' fine detail inside the lips, 0 to 1.
        device: where torch computes the medians.
    """

    best: int = 8
    share: float = 0.9
    steady: float = 1.6
    teeth: float = 1.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.best < 1 or not 0 < self.share < 1 or self.steady < 0 or not 0 <= self.teeth <= 1:
            raise UsageError(
                f"{self} is out of range", hint="best >= 1, 0 < share < 1, steady >= 0, teeth 0..1"
            )


def candidate_weights(distances: NDArray[np.floating], best: int, share: float) -> Series:
    """``(N, C)`` weights ``exp(-d / 2 s^2)``; each row sums to 1 and has its own s, such that the ``best`` nearest have
    ``share`` of the weight.

    Args:
        distances: ``(N, C)``, not negative.
    """
    d = np.asarray(distances, np.float64)
    d = d - d.min(1, keepdims=True)
    count = d.shape[1]
    if count <= best or best / count >= share:
        scale = np.maximum(d.mean(1, keepdims=True), 1e-9)
        weights = np.exp(-d / scale)
        return np.asarray(weights / weights.sum(1, keepdims=True))
    ordered = np.sort(d, 1)
    low, high = np.full((len(d), 1), -30.0), np.full((len(d), 1), 30.0)
    for _ in range(50):
        middle = (low + high) / 2
        rough = np.exp(-ordered / np.exp(middle))
        over = rough[:, :best].sum(1, keepdims=True) / rough.sum(1, keepdims=True) > share
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    weights = np.exp(-d / np.exp(low))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def weighted_median(
    pictures: NDArray[np.uint8], weights: NDArray[np.floating], device: str = "cpu"
) -> Pixels:
    """The weighted (lower) median of each value: the smallest with at least half of the weight at or below it.

    Its eight bits are found one by one, without sorting.

    Args:
        pictures: ``(n, ...)`` uint8. weights: ``(n,)``, not negative, not all 0.
        device: where torch computes.
    """
    import torch

    stack = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    shares = torch.as_tensor(np.asarray(weights, np.float32), device=device)
    half = shares.sum() / 2 * (1 - 1e-6)
    low = torch.zeros(stack.shape[1:], dtype=torch.int16, device=device)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        limit = (low + (bit - 1)).to(torch.uint8)
        below = torch.zeros(stack.shape[1:], dtype=torch.float32, device=device)
        for one, weight in zip(stack, shares.cpu().tolist(), strict=True):
            below += (one <= limit) * weight
        low += (below < half).to(torch.int16) * bit
    return np.asarray(low.to(torch.uint8).cpu().numpy())


def synthesize_textures(
    shapes: NDArray[np.floating],
    candidates: Candidates,
    options: TextureOptions | None = None,
    start: int = 0,
) -> Iterator[tuple[Pixels, Floats]]:
    """Render the lower face for mouth shapes.

    Args:
        shapes: ``(N, 36)`` of :func:`synth.lipsync.shape.mouth_shapes`.
        candidates: the person's.
        options: see :class:`TextureOptions`.
        start: the first shape that is rendered; earlier ones only enter the smoothing over time.

    Yields:
        the texture ``(S, S, 3)`` uint8, black above the nose's base, and the mask of the lower face, ``(S, S)`` in
        [0, 1].

    Raises:
        UsageError: other shapes, or values that are not finite.
    """
    chosen, wanted = options or TextureOptions(), np.asarray(shapes, np.float64)
    if wanted.ndim != 2 or wanted.shape[1] != 2 * len(LIP_POINTS) or not np.isfinite(wanted).all():
        raise UsageError(f"found mouth shapes {wanted.shape}, expected finite (N, {2 * len(LIP_POINTS)})")
    weights = _steady(
        candidate_weights(_distances(wanted, candidates.shapes), chosen.best, chosen.share), chosen.steady
    )
    teeth = Teeth.of(candidates, wanted) if chosen.teeth > 0 else None
    lips = candidates.frontal.pixels_of(wanted.reshape(len(wanted), -1, 2))
    for row in range(start, len(wanted)):
        near = np.argsort(-weights[row])[: chosen.best + chosen.best // 2]
        share = weights[row, near] / weights[row, near].sum()
        jaw = (candidates.points[near, len(LIP_POINTS) :] * share[:, None, None]).sum(0)
        goal = np.concatenate([lips[row], jaw])
        warped = warped_onto(candidates, near, goal)
        made = weighted_median(warped, share, chosen.device)
        if teeth is not None:
            made = teeth.into(made, goal, row, chosen.teeth)
        texture = np.zeros((candidates.frontal.side,) * 2 + (3,), np.uint8)
        texture[candidates.rows[0] : candidates.rows[1]] = made
        yield texture, lower_face(candidates.frontal, jaw)


def lower_face(frontal: Frontal, jaw: Series) -> Floats:
    """``(S, S)`` in [0, 1]: cheeks, mouth, chin within a jaw line ``(K, 2)``, its border soft inwards."""
    border = frontal.pixels_of(frontal.base[list(UPPER_BORDER)])
    outline = np.concatenate([jaw, border])
    mask = np.zeros((frontal.side,) * 2, np.uint8)
    cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    sigma = 0.045 * frontal.unit
    reach = max(1, round(1.2 * sigma))
    inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    return np.asarray(cv2.GaussianBlur(inner.astype(np.float32) / 255, (0, 0), sigma))


def _distances(wanted: Series, shapes: Series) -> Series:
    """``(N, C)``, computed in parts to save memory. The mouth's position counts less than its form: it depends on the
    accuracy of the pose, and candidates are moved there anyway.
    """
    wanted, shapes = _partly_centred(wanted), _partly_centred(shapes)
    parts = [
        np.linalg.norm(wanted[low : low + 64, None] - shapes[None], axis=-1)
        for low in range(0, len(wanted), 64)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(shapes)))


def _partly_centred(shapes: Series) -> Series:
    points = shapes.reshape(len(shapes), -1, 2)
    return np.asarray((points - (1 - _PLACE) * points.mean(1, keepdims=True)).reshape(len(shapes), -1))


def _steady(weights: Series, sigma: float) -> Series:
    if sigma <= 0 or len(weights) < 2:
        return weights
    return np.asarray(
        cv2.GaussianBlur(
            np.ascontiguousarray(weights), (1, 2 * int(3 * sigma + 0.5) + 1), sigmaX=0.01, sigmaY=sigma
        )
    )
