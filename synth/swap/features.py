"""Frozen networks that compare pictures as a face network sees them, for the feature loss and for measuring.

Candidates (``benchmarks/synth/swap_features.py`` compares them): dlib's face recognition network (public domain, a
large carrier), and MTCNN's last network (MIT, always there with the cloak's detectors). Both get the aligned face cut
to the region they were trained on; since aligned faces always lie in the same place, that region is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from cloak import models
from cloak.recognition.aligned_faces import LAYOUTS, similarity
from provenance.errors import UsageError
from synth.extraction.canonical import OF_68, TEMPLATE, canonical_points

NAMES = ("dlib", "onet", "none")
_CHIP, _CHIP_PADDING = 150, 0.25
_ONET_SIDE = 48
#: The part of an aligned face that MTCNN would draw its box around: left, top, side, as shares of the picture.
_ONET_PART = (0.125, 0.083, 0.75)


class FeatureNet(nn.Module):
    """Aligned pictures ``(N, 3, S, S)`` in [0, 1] to a list of feature maps; differentiable, frozen."""

    name: str
    theta: Tensor
    side: int

    def crops(self, pictures: Tensor) -> Tensor:
        """What the network is shown, ``(N, 3, side, side)``."""
        count = len(pictures)
        grid = affine_grid(
            self.theta.expand(count, -1, -1), [count, 3, self.side, self.side], align_corners=False
        )
        return grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)

    def frozen(self) -> FeatureNet:
        self.eval()
        for weight in self.parameters():
            weight.requires_grad_(False)
        return self


class DlibFeatures(FeatureNet):
    """Five maps of dlib's face recognition network; :meth:`embed` tells people apart."""

    name, side = "dlib", _CHIP

    def __init__(self, size: int, device: Any) -> None:
        from cloak.recognition.network import FaceRecognition

        super().__init__()
        self.network = FaceRecognition.load(device=device)
        self.register_buffer("theta", _chip_region(size).to(device), persistent=False)
        self.frozen()

    def forward(self, pictures: Tensor) -> Sequence[Tensor]:
        return self.network.features(self.crops(pictures))

    def embed(self, pictures: Tensor) -> Tensor:
        """``(N, 128)`` embeddings of aligned pictures."""
        return self.network.embed(self.crops(pictures))


class OnetFeatures(FeatureNet):
    """The four convolutions of MTCNN's last network."""

    name, side = "onet", _ONET_SIDE

    def __init__(self, size: int, device: Any) -> None:
        from cloak.detectors.mtcnn import MTCNN

        super().__init__()
        self.network = MTCNN.load().onet
        left, top, part = _ONET_PART
        middle = [(left + part / 2) * 2 - 1, (top + part / 2) * 2 - 1]
        region = torch.tensor([[part, 0, middle[0]], [0, part, middle[1]]])
        self.register_buffer("theta", region[None], persistent=False)
        self.frozen().to(device)

    def forward(self, pictures: Tensor) -> Sequence[Tensor]:
        net, maps = self.network, []
        x = (self.crops(pictures) * 255 - 127.5) / 128
        for conv, slope, pool in (
            (net.conv1, net.prelu1, 3),
            (net.conv2, net.prelu2, 3),
            (net.conv3, net.prelu3, 2),
            (net.conv4, net.prelu4, 0),
        ):
            x = slope(conv(x))
            maps.append(x)
            if pool:
                x = torch.nn.functional.max_pool2d(x, pool, stride=2, ceil_mode=True)
        return maps


def load_features(name: str, size: int, device: Any = "cpu") -> FeatureNet | None:
    """A network by its name; None for "none".

    Raises:
        UsageError: an unknown name.
        MissingModelError: its weights are not installed; the hint is the command that brings them.
    """
    if name == "none":
        return None
    if name not in NAMES:
        raise UsageError(f"no feature network is called {name[:40]!r}", hint="one of " + ", ".join(NAMES))
    return DlibFeatures(size, device) if name == "dlib" else OnetFeatures(size, device)


def available() -> tuple[str, ...]:
    """Names whose weights are installed."""
    present = {one.model.detector for one in models.statuses() if one.state == "present"}
    names = {one.model.name for one in models.statuses() if one.state == "present"}
    found = ["dlib"] if "dlib-face-recognition" in names else []
    return (*found, *(["onet"] if "mtcnn" in present else []), "none")


def _chip_region(size: int) -> Tensor:
    """Where dlib would cut its chip out of an aligned picture of side ``size``: ``(1, 2, 3)`` for affine_grid."""
    layout = LAYOUTS["dlib68"]
    known = [(OF_68[of_68], place) for of_68, place in zip(layout.used, layout.mean, strict=True)]
    known = [(mesh, place) for mesh, place in known if mesh in TEMPLATE]
    mean = torch.tensor([place for _, place in known], dtype=torch.float64)
    goal = (_CHIP_PADDING + mean) / (2 * _CHIP_PADDING + 1)
    points = torch.from_numpy(canonical_points(size, tuple(mesh for mesh, _ in known))) / size
    matrix, shift = similarity(goal, points)
    # shares of the side, 0 to 1, to affine_grid's -1 to 1
    moved = 2 * (matrix @ torch.full((2,), 0.5, dtype=torch.float64) + shift) - 1
    return torch.cat([matrix, moved[:, None]], 1).float()[None]
