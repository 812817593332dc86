"""A small network that looks at an aligned face and at what surrounds it: does it show traces of a fake?

Four strided convolutions over colours without detail and over the detail at two scales; then what was found within the
face and around it is told apart, and compared. The detail is divided by its strength in the whole picture: footage that
is soft throughout looks like sharp footage, a soft face in a sharp picture does not. About 90,000 weights. The
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

#: Side of what the network sees: the middle of an aligned face of 192 pixels, with hair, ears, neck and background.
SIDE = 176
_WIDTHS = (20, 32, 48, 64)
_STRIDE = 16
#: Where an aligned face lies: half axes of an ellipse about the middle, as shares of the side.
_FACE = (0.33, 0.38)
_FAINTEST = 2e-3


class FaceNet(nn.Module):
    """Logits ``(N,)`` of faces ``(N, 3, SIDE, SIDE)`` in [0, 1]; above 0 speaks for a fake."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 7
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
        self.head = nn.Sequential(nn.Linear(3 * before, 24), nn.ReLU(), nn.Linear(24, 1))
        side = SIDE // _STRIDE
        place = (torch.arange(side) + 0.5) / side - 0.5
        inside = ((place[None] / _FACE[0]) ** 2 + (place[:, None] / _FACE[1]) ** 2 < 1).float()
        self.register_buffer("inside", inside, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self._pooled(self.features(pictures))).flatten()
        return logits

    def features(self, pictures: Tensor) -> Tensor:
        """``(N, 64, SIDE / 16, SIDE / 16)``."""
        near, wide = _mean(pictures, 3), _mean(pictures, 7)
        bands = [pictures - near, (near - wide).mean(1, keepdim=True)]
        strength = [band.square().mean((1, 2, 3), keepdim=True).sqrt() for band in bands]
        detail = [band / (size + _FAINTEST) for band, size in zip(bands, strength, strict=True)]
        result: Tensor = self.body(torch.cat([wide * 2 - 1, *detail], 1))
        return result

    def _pooled(self, features: Tensor) -> Tensor:
        """Means within the face and around it, and the strongest anywhere."""
        inside = self.get_buffer("inside")
        within = (features * inside).sum((2, 3)) / inside.sum()
        around = (features * (1 - inside)).sum((2, 3)) / (1 - inside).sum()
        return torch.cat([within, around, features.amax((2, 3))], 1)


def _mean(pictures: Tensor, size: int) -> Tensor:
    """Of squares of ``size`` pixels around each; rows and then columns, which is several times as fast as pooling."""
    wide = F.pad(pictures, (size // 2,) * 4, mode="reflect")
    for axis in (-1, -2):
        length = wide.shape[axis] - size + 1
        total = wide.narrow(axis, 0, length).clone()
        for offset in range(1, size):
            total += wide.narrow(axis, offset, length)
        wide = total
    return wide / size**2


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
