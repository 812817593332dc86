"""A small network that looks at an aligned face: does it show traces of a fake?

Four strided convolutions over the picture and its fine detail (what a blur takes away), about 75,000 weights. The
detectors "warp" and "blend" are this network with different teachers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

#: Side of what the network sees. Aligned faces of 192 pixels are cut to the middle three quarters, at full resolution.
SIDE = 144
_WIDTHS = (20, 32, 48, 64)


class FaceNet(nn.Module):
    """Logits ``(N,)`` of faces ``(N, 3, SIDE, SIDE)`` in [0, 1]; above 0 speaks for a fake."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for width in _WIDTHS:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.body = nn.Sequential(
            *layers, nn.Conv2d(before, before, 3, padding=1, bias=False), nn.BatchNorm2d(before), nn.ReLU()
        )
        self.head = nn.Linear(2 * before, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self._pooled(self.features(pictures))).flatten()
        return logits

    def features(self, pictures: Tensor) -> Tensor:
        """``(N, 64, SIDE / 16, SIDE / 16)``."""
        coarse = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        detail = (pictures - coarse) * 8
        result: Tensor = self.body(torch.cat([pictures * 2 - 1, detail], 1))
        return result

    @staticmethod
    def _pooled(features: Tensor) -> Tensor:
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)


def prepared(faces: list[NDArray[np.uint8]], device: Any = "cpu") -> Tensor:
    """Aligned faces ``(192, 192, 3)`` uint8 as the network wants them."""
    edge = (faces[0].shape[0] - SIDE) // 2
    stack = np.stack([face[edge : edge + SIDE, edge : edge + SIDE] for face in faces])
    return torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).float() / 255


def saliency(network: FaceNet, pictures: Tensor) -> NDArray[np.float32]:
    """Where the logit comes from: ``(N, SIDE, SIDE)`` in [0, 1], 1 speaking most for a fake.

    Gradient times activation of the last layer, positive part (Selvaraju et al., "Grad-CAM", ICCV 2017); times the
    size of the gradient of the picture (Simonyan, Vedaldi and Zisserman, 2013), which is finer than the last layer.
    """
    wanted = pictures.detach().clone().requires_grad_(True)
    features = network.features(wanted)
    logits = network.head(network._pooled(features)).flatten()
    inner, outer = torch.autograd.grad(logits.sum(), (features, wanted))
    rough = F.relu((features * inner).sum(1, keepdim=True))
    rough = F.interpolate(rough, (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    fine = outer.abs().amax(1)
    result = []
    for coarse, sharp in zip(rough.detach().cpu().numpy(), fine.cpu().numpy(), strict=True):
        soft = cv2.GaussianBlur(sharp, (0, 0), 3)
        whole = (
            np.sqrt(np.maximum(coarse, 0) / max(float(coarse.max()), 1e-9))
            * soft
            / max(float(soft.max()), 1e-9)
        )
        result.append(whole / max(float(whole.max()), 1e-9))
    return np.asarray(result, np.float32)
