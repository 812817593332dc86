"""FaceBoxes (Zhang et al., 2017, "FaceBoxes: A CPU Real-time Face Detector with High Accuracy"), by the weights that
3DDFA_V2 brings.

Input as there: blue, green, red minus (104, 117, 123); a picture of more than 1080 x 720 pixels is shrunk to fit.
Anchors of 32 and 64 pixels are laid more densely than the grid of 32; boxes are corrections with variances 0.1 and 0.2.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak import models
from cloak.detectors.geometry.resample import opencv_bilinear
from cloak.detectors.priors import PriorDetector, decode_boxes
from provenance.errors import MissingModelError

_MOST_HEIGHT, _MOST_WIDTH = 720, 1080
#: By stride: sides of the anchors in pixels, each with how many lie in a cell, across and down.
_ANCHORS = ((32, ((32, 4), (64, 2), (128, 1))), (64, ((256, 1),)), (128, ((512, 1),)))


class _Layer(nn.Module):
    """Convolution and normalisation; ``doubled`` also hands on what is below zero, with its sign turned (CReLU)."""

    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int = 1, *, doubled: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)
        self.doubled = doubled

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return functional.relu(torch.cat([x, -x], 1) if self.doubled else x)


class _Inception(nn.Module):
    """Four branches of 32 channels with growing fields of view."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1x1 = _Layer(128, 32, 1)
        self.branch1x1_2 = _Layer(128, 32, 1)
        self.branch3x3_reduce = _Layer(128, 24, 1)
        self.branch3x3 = _Layer(24, 32, 3)
        self.branch3x3_reduce_2 = _Layer(128, 24, 1)
        self.branch3x3_2 = _Layer(24, 32, 3)
        self.branch3x3_3 = _Layer(32, 32, 3)

    def forward(self, x: Tensor) -> Tensor:
        smooth = functional.avg_pool2d(x, 3, 1, 1)
        far = self.branch3x3_3(self.branch3x3_2(self.branch3x3_reduce_2(x)))
        near = self.branch3x3(self.branch3x3_reduce(x))
        return torch.cat([self.branch1x1(x), self.branch1x1_2(smooth), near, far], 1)


class FaceBoxesNet(nn.Module):
    """The network, its layers under the names of the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _Layer(3, 24, 7, 4, doubled=True)
        self.conv2 = _Layer(48, 64, 5, 2, doubled=True)
        self.inception1, self.inception2, self.inception3 = _Inception(), _Inception(), _Inception()
        self.conv3_1, self.conv3_2 = _Layer(128, 128, 1), _Layer(128, 256, 3, 2)
        self.conv4_1, self.conv4_2 = _Layer(256, 128, 1), _Layer(128, 256, 3, 2)
        self.loc = nn.Sequential(
            *(nn.Conv2d(a, 4 * n, 3, padding=1) for a, n in ((128, 21), (256, 1), (256, 1)))
        )
        self.conf = nn.Sequential(
            *(nn.Conv2d(a, 2 * n, 3, padding=1) for a, n in ((128, 21), (256, 1), (256, 1)))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Box corrections ``(B, M, 4)`` and class logits ``(B, M, 2)`` of all anchors."""
        x = functional.max_pool2d(self.conv1(x), 3, 2, 1)
        x = functional.max_pool2d(self.conv2(x), 3, 2, 1)
        first = self.inception3(self.inception2(self.inception1(x)))
        second = self.conv3_2(self.conv3_1(first))
        levels = (first, second, self.conv4_2(self.conv4_1(second)))
        return _flat(self.loc, levels, 4), _flat(self.conf, levels, 2)


class FaceBoxes(PriorDetector):
    """``threshold`` is the least probability of a face, 0.5 in the original. No landmarks."""

    name = "faceboxes"
    family = "faceboxes"

    def __init__(self, state: dict[str, Tensor], *, threshold: float = 0.5) -> None:
        network = FaceBoxesNet()
        try:
            network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
        except (RuntimeError, AttributeError) as error:
            raise MissingModelError(f"the weights are not those of FaceBoxes: {str(error)[:200]}") from error
        super().__init__(network, threshold)

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> FaceBoxes:
        """With weights that were downloaded or lie in ``weights_dir``.

        Raises:
            MissingModelError: they are missing or altered.
        """
        data = models.read("faceboxes", weights_dir)
        state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        if not isinstance(state, dict):
            raise MissingModelError("the weights faceboxes hold no named tensors")
        return cls(state)

    def _everywhere(self, values: Tensor, *, exact: bool) -> tuple[Tensor, Tensor, None]:
        height, width = values.shape[-2:]
        scale = min(1.0, _MOST_HEIGHT / height, _MOST_WIDTH / width)
        if scale < 1:
            size = max(1, int(height * scale)), max(1, int(width * scale))
            if exact:
                values = opencv_bilinear(values, *size)
            else:
                values = functional.interpolate(values, size=size, mode="bilinear", align_corners=False)
        pictures = self._input(values).contiguous(memory_format=torch.channels_last)
        corrections, classes = self.network(pictures)
        centre, side = (part.to(values) for part in _anchors(*values.shape[-2:]))
        return classes[..., 1] - classes[..., 0], decode_boxes(corrections, centre, side) / scale, None


def _flat(heads: nn.Sequential, levels: tuple[Tensor, ...], width: int) -> Tensor:
    maps = [head(level).permute(0, 2, 3, 1) for head, level in zip(heads, levels, strict=True)]
    return torch.cat([one.reshape(len(one), -1, width) for one in maps], 1)


@lru_cache(maxsize=32)
def _anchors(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres ``(M, 2)`` and sides ``(M, 1)`` of all anchors in pixels; cell by cell, the small ones first."""
    centres, sides = [], []
    for stride, kinds in _ANCHORS:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        corner = torch.stack([x, y], -1).reshape(-1, 1, 2).float()
        for_cell, lengths = [], []
        for side, count in kinds:
            # one anchor sits in the middle of its cell; several start at its corner
            place = torch.arange(count) / count if count > 1 else torch.tensor([0.5])
            down, across = torch.meshgrid(place, place, indexing="ij")
            for_cell.append(torch.stack([across, down], -1).reshape(-1, 2))
            lengths += [float(side)] * count * count
        centres.append(((corner + torch.cat(for_cell)) * stride).reshape(-1, 2))
        sides.append(torch.tensor(lengths).repeat(rows * columns))
    return torch.cat(centres), torch.cat(sides)[:, None]
