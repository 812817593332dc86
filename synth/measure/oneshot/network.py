"""The one-shot swapper: what the filmed face does, and an embedding of whose face to draw, to an aligned picture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

#: Side of the pictures, and length of the embedding (dlib's).
SIDE, EMBEDDING = 64, 128


@dataclass(frozen=True)
class OneShotShape:
    """Sizes: channels of the widest layer, of what is handed on from the filmed face, and of the modulation."""

    width: int = 96
    code: int = 24
    style: int = 192


class _Modulated(nn.Module):
    """Convolution whose normalised channels are scaled and shifted by the identity (Huang and Belongie, ICCV 2017)."""

    def __init__(self, inside: int, outside: int, style: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outside)
        self.style = nn.Linear(style, 2 * outside)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        result: Tensor = torch.nn.functional.leaky_relu(
            self.norm(self.convolution(x)) * (1 + gain) + shift, 0.2
        )
        return result


class OneShot(nn.Module):
    """``(N, 3, 64, 64)`` filmed faces in [0, 1] and ``(N, 128)`` identities to colours and a mask.

    The filmed face passes through a narrow code of 8 x 8, so that whose face is drawn has to come from the identity.
    """

    def __init__(self, shape: OneShotShape = OneShotShape()) -> None:
        super().__init__()
        wide, self.shape = shape.width, shape
        self.encoder = nn.Sequential(
            nn.Conv2d(3, wide // 4, 5, 2, 2), nn.LeakyReLU(0.2),
            nn.Conv2d(wide // 4, wide // 2, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(wide // 2, wide, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(wide, shape.code, 1),
        )  # fmt: skip
        self.identity = nn.Sequential(nn.Linear(EMBEDDING, shape.style), nn.LeakyReLU(0.2))
        sides = (shape.code, wide, wide, wide // 2, wide // 4)
        self.decoder = nn.ModuleList(
            _Modulated(inside, outside, shape.style) for inside, outside in pairwise(sides)
        )
        self.colours = nn.Conv2d(wide // 4, 4, 3, padding=1)

    def forward(self, filmed: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Colours ``(N, 3, 64, 64)`` and mask ``(N, 1, 64, 64)``, in [0, 1]."""
        # dlib's embeddings have a length of about 1.3; their components are brought to about one
        style = self.identity(identity * 8)
        x = self.encoder(filmed - 0.5)
        for place, layer in enumerate(self.decoder):
            x = layer(x, style)
            if place < 3:
                x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        made = torch.sigmoid(self.colours(x))
        return made[:, :3], made[:, 3:]
