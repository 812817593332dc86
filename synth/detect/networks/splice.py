"""Do two patches share a processing history? A siamese network, and the map that it draws of a whole picture.

After Huh, Liu, Owens and Efros, "Fighting Fake News: Image Splice Detection via Learned Self-Consistency", ECCV 2018.
Theirs is two ResNet-50 on patches of 128 pixels, taught by the EXIF data of 400,000 photographs. Here it is four small
convolutions on patches of 64 pixels, taught by histories that are made (:mod:`synth.detect.training.histories`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 64
#: Which parts of a history are compared, besides all of it.
TRAITS = ("quality", "resampling", "sharpening", "noise", "demosaicing")
#: So many patches of a picture are compared with each other, at most.
MOST_PATCHES = 450
_FLAT = 1.5
_WIDTHS = (16, 24, 32, 48)
_CODE = 32


class SpliceNet(nn.Module):
    """Codes of patches, and from two codes whether they share their history."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 4
        for number, width in enumerate(_WIDTHS):
            stride = 1 if number == 0 else 2
            layers += [
                nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.body = nn.Sequential(*layers)
        self.code = nn.Linear(2 * before, _CODE)
        self.compare = nn.Sequential(nn.Linear(_CODE, 24), nn.ReLU(), nn.Linear(24, 1 + len(TRAITS)))

    def forward(self, patches: Tensor) -> Tensor:
        """Codes ``(N, 32)`` of patches ``(N, 3, 64, 64)`` in [0, 1]."""
        luma = patches.mean(1, keepdim=True)
        soft = F.avg_pool2d(F.pad(patches, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        soft_luma = F.avg_pool2d(F.pad(luma, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        fine = torch.cat([(patches - soft) - (luma - soft_luma), luma - soft_luma], 1) * 16
        features = self.body(torch.asinh(fine))
        spread = torch.sqrt(features.var((2, 3)) + 1e-4)
        codes: Tensor = self.code(torch.cat([features.mean((2, 3)), spread], 1))
        return codes

    def pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(..., 1 + 5)`` that all of the history is shared, and each of :data:`TRAITS`."""
        logits: Tensor = self.compare((first - second).abs())
        return logits


@dataclass(frozen=True)
class Consistency:
    """What the network says about one picture.

    Attributes:
        boxes: ``(N, 2)`` left and top of the patches that have texture enough to be judged.
        shared: ``(N, N)`` probability that two of them share their history.
        odd: ``(N,)`` how little each agrees with the picture's majority, 0 to 1.
        contrast: of the best split into two groups, agreement inside the groups less agreement between them, 0 to 1.
    """

    boxes: NDArray[np.int64]
    shared: NDArray[np.float32]
    odd: NDArray[np.float32]
    contrast: float

    def between(self, inside: NDArray[np.bool_]) -> float:
        """As ``contrast``, for a given group of the patches; 0 where a group has fewer than four."""
        return _contrast(self.shared, inside)

    def heat(self, height: int, width: int) -> NDArray[np.float32]:
        """``odd`` as a picture ``(height, width)``; where nothing could be judged it is 0."""
        total = np.zeros((height, width), np.float32)
        count = np.zeros((height, width), np.float32)
        for (left, top), value in zip(self.boxes, self.odd, strict=True):
            total[top : top + PATCH, left : left + PATCH] += value
            count[top : top + PATCH, left : left + PATCH] += 1
        return np.asarray(total / np.maximum(count, 1), np.float32)


def places(height: int, width: int) -> NDArray[np.int64]:
    """``(N, 2)`` left and top of patches on a grid, at most :data:`MOST_PATCHES`, at multiples of 8 pixels."""
    stride = 16
    while ((height - PATCH) // stride + 1) * ((width - PATCH) // stride + 1) > MOST_PATCHES:
        stride += 8
    rows = np.arange(0, max(height - PATCH, 0) + 1, stride)
    columns = np.arange(0, max(width - PATCH, 0) + 1, stride)
    return np.stack([one.ravel() for one in np.meshgrid(columns, rows)], 1).astype(np.int64)


@torch.no_grad()
def consistency(network: SpliceNet, pixels: NDArray[np.uint8], device: Any = "cpu") -> Consistency | None:
    """Compare the patches of a picture ``(H, W, 3)`` uint8 RGB; None where fewer than nine have texture."""
    height, width = pixels.shape[:2]
    if min(height, width) < PATCH:
        return None
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    boxes = np.array(
        [
            (left, top)
            for left, top in places(height, width)
            if _textured(luma[top : top + PATCH, left : left + PATCH])
        ],
        np.int64,
    ).reshape(-1, 2)
    if len(boxes) < 9:
        return None
    codes = []
    for start in range(0, len(boxes), 64):
        part = np.stack([pixels[t : t + PATCH, x : x + PATCH] for x, t in boxes[start : start + 64]])
        batch = torch.from_numpy(part).to(device).permute(0, 3, 1, 2).float() / 255
        codes.append(network(batch))
    code = torch.cat(codes)
    rows = [torch.sigmoid(network.pairs(one[None], code)[:, 0]).cpu() for one in code]
    shared = torch.stack(rows).numpy()
    odd = _odd(shared)
    return Consistency(boxes, shared, odd, _best_contrast(shared, odd))


def _textured(luma: NDArray[np.float32]) -> bool:
    return bool(luma.std() > _FLAT and 4 < luma.mean() < 251)


def _odd(shared: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean shift over the rows of the matrix to the majority's row, as Huh et al. merge their maps; then 1 less it."""
    mode = np.median(shared, axis=0)
    apart = ((shared - mode) ** 2).mean(1)
    width = max(float(np.median(apart)), 1e-4)
    for _ in range(10):
        weight = np.exp(-((shared - mode) ** 2).mean(1) / (2 * width))
        mode = (weight[:, None] * shared).sum(0) / max(float(weight.sum()), 1e-9)
    return np.asarray(1 - mode, np.float32)


def _best_contrast(shared: NDArray[np.float32], odd: NDArray[np.float32]) -> float:
    levels = np.quantile(odd, (0.5, 0.6, 0.7, 0.8, 0.9, 0.95))
    return max(_contrast(shared, odd > level) for level in levels)


def _contrast(shared: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    outside = ~inside
    if inside.sum() < 4 or outside.sum() < 4:
        return 0.0
    within = (shared[np.ix_(inside, inside)].mean() + shared[np.ix_(outside, outside)].mean()) / 2
    return float(within - shared[np.ix_(inside, outside)].mean())
