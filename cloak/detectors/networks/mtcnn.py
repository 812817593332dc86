"""The three small networks of MTCNN (Zhang et al., 2016, "Joint Face Detection and Alignment Using Multitask
Cascaded Convolutional Networks"), with the parameter names of the facenet-pytorch weights.

Inputs are RGB, ``(value - 127.5) / 128``. Each returns face logits (the difference of its two class scores,
so that the face probability is its sigmoid), box corrections, and for the last one five landmarks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


def _halve(features: Tensor, kernel: int) -> Tensor:
    return max_pool2d(features, kernel, stride=2, ceil_mode=True)


class _Slope(nn.PReLU):
    """The same values as torch's, but its backward pass is one multiplication: the slopes are frozen here."""

    def forward(self, features: Tensor) -> Tensor:
        slopes = self.weight.view(-1, *[1] * (features.ndim - 2)).to(features.dtype)
        return features * torch.where(features.detach() > 0, torch.ones_like(slopes), slopes)


def _flat(features: Tensor) -> Tensor:
    """The weights expect width-first order."""
    return features.permute(0, 3, 2, 1).flatten(1)


def _difference(classes: Tensor) -> Tensor:
    return classes[:, 1] - classes[:, 0]


class PNet(nn.Module):
    """Proposal network: looks at every 12 x 12 window, every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), _Slope(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), _Slope(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), _Slope(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 3, H, W)`` to logits ``(B, h, w)`` and corrections ``(B, 4, h, w)``."""
        x = _halve(self.prelu1(self.conv1(pictures)), 2)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return _difference(self.conv4_1(x)), self.conv4_2(x)


class RNet(nn.Module):
    """Refinement network: judges 24 x 24 crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), _Slope(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), _Slope(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), _Slope(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), _Slope(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, 3, 24, 24)`` to logits ``(N,)`` and corrections ``(N, 4)``."""
        x = _halve(self.prelu1(self.conv1(crops)), 3)
        x = _halve(self.prelu2(self.conv2(x)), 3)
        x = self.prelu4(self.dense4(_flat(self.prelu3(self.conv3(x)))))
        return _difference(self.dense5_1(x)), self.dense5_2(x)


class ONet(nn.Module):
    """Output network: judges 48 x 48 crops and places the landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), _Slope(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), _Slope(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), _Slope(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), _Slope(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), _Slope(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, 3, 48, 48)`` to logits ``(N,)``, corrections ``(N, 4)`` and landmarks ``(N, 5, 2)`` relative
        to the crop (left eye, right eye, nose, left and right corner of the mouth, as seen in the picture).
        """
        x = _halve(self.prelu1(self.conv1(crops)), 3)
        x = _halve(self.prelu2(self.conv2(x)), 3)
        x = _halve(self.prelu3(self.conv3(x)), 2)
        x = self.prelu5(self.dense5(_flat(self.prelu4(self.conv4(x)))))
        points = self.dense6_3(x)
        return _difference(self.dense6_1(x)), self.dense6_2(x), torch.stack([points[:, :5], points[:, 5:]], 2)
