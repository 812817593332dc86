"""The RetinaFace family: the folded networks against plain layers that load the file as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cloak.detectors import load
from cloak.detectors.networks.retinaface import MobileNetRetina, Rfb, Slim, folded

pytestmark = pytest.mark.vectors


def conv_bn(
    inside: int, outside: int, stride: int = 1, kernel: int = 3, active: bool = True
) -> nn.Sequential:
    layers = [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside)]
    return nn.Sequential(*layers, *([nn.ReLU()] if active else []))


def separable(inside: int, outside: int, stride: int) -> nn.Sequential:
    depth = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False)
    point = nn.Conv2d(inside, outside, 1, bias=False)
    return nn.Sequential(depth, nn.BatchNorm2d(inside), nn.ReLU(), point, nn.BatchNorm2d(outside), nn.ReLU())


def head(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    depth = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside)
    return nn.Sequential(depth, nn.ReLU(), nn.Conv2d(inside, outside, 1))


class Unit(nn.Module):
    """A convolution and its normalisation under the names of the receptive field block."""

    def __init__(self, inside: int, outside: int, kernel: int = 3, dilation: int = 1, active: bool = False):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(inside, outside, kernel, 1, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(outside)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x.relu() if self.active else x


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(Unit(64, 8, 1), Unit(8, 16, active=True), Unit(16, 16, dilation=2))
        self.branch1 = nn.Sequential(Unit(64, 8, 1), Unit(8, 16, active=True), Unit(16, 16, dilation=3))
        self.branch2 = nn.Sequential(
            Unit(64, 8, 1), Unit(8, 12, active=True), Unit(12, 16, active=True), Unit(16, 16, dilation=5)
        )
        self.ConvLinear, self.shortcut = Unit(48, 64, 1), Unit(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        together = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], dim=1)
        return (self.ConvLinear(together) + self.shortcut(x)).relu()


class PlainLight(nn.Module):
    """Slim, or RFB with the block in eighth place."""

    def __init__(self, rfb: bool) -> None:
        super().__init__()
        self.conv1 = conv_bn(3, 16, 2)
        sizes = [(16, 32, 1), (32, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1), (64, 64, 1)]
        sizes += [(64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        for number, size in enumerate(sizes, start=2):
            self.add_module(f"conv{number}", Block() if rfb and number == 8 else separable(*size))
        self.conv14 = nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), head(64, 256, 2), nn.ReLU())
        for name, width in (("loc", 4), ("conf", 2), ("landm", 10)):
            heads = [head(64, 3 * width), head(128, 2 * width), head(256, 2 * width)]
            self.add_module(name, nn.ModuleList([*heads, nn.Conv2d(256, 3 * width, 3, padding=1)]))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for number in range(1, 15):
            x = self.get_submodule(f"conv{number}")(x)
            if number in (8, 11, 13, 14):
                levels.append(x)
        return [
            torch.cat(
                [
                    layer(level).permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)
                    for level, layer in zip(levels, self.get_submodule(name), strict=True)
                ],
                dim=1,
            )
            for name, width in (("loc", 4), ("conf", 2), ("landm", 10))
        ]


class PlainContext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv3X3 = conv_bn(64, 32, active=False)
        self.conv5X5_1, self.conv5X5_2 = conv_bn(64, 16), conv_bn(16, 16, active=False)
        self.conv7X7_2, self.conv7x7_3 = conv_bn(16, 16), conv_bn(16, 16, active=False)

    def forward(self, x: Tensor) -> Tensor:
        step = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(step), self.conv7x7_3(self.conv7X7_2(step))]
        return torch.cat(parts, dim=1).relu()


class PlainRetina(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        first = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.body = nn.ModuleDict(
            {
                "stage1": nn.Sequential(conv_bn(3, 8, 2), *(separable(*size) for size in first)),
                "stage2": nn.Sequential(separable(64, 128, 2), *(separable(128, 128, 1) for _ in range(5))),
                "stage3": nn.Sequential(separable(128, 256, 2), separable(256, 256, 1)),
            }
        )
        outputs = {f"output{n}": conv_bn(width, 64, 1, 1) for n, width in ((1, 64), (2, 128), (3, 256))}
        self.fpn = nn.ModuleDict({**outputs, "merge1": conv_bn(64, 64), "merge2": conv_bn(64, 64)})
        self.ssh1, self.ssh2, self.ssh3 = PlainContext(), PlainContext(), PlainContext()
        for name, width in (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10)):
            heads = [nn.ModuleDict({"conv1x1": nn.Conv2d(64, 2 * width, 1)}) for _ in range(3)]
            self.add_module(name, nn.ModuleList(heads))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage, output in (("stage1", "output1"), ("stage2", "output2"), ("stage3", "output3")):
            x = self.body[stage](x)
            levels.append(self.fpn[output](x))
        for upper, lower, merge in ((2, 1, "merge2"), (1, 0, "merge1")):
            size = levels[lower].shape[-2:]
            grown = nn.functional.interpolate(levels[upper], size=size, mode="nearest")
            levels[lower] = self.fpn[merge](levels[lower] + grown)
        features = [self.ssh1(levels[0]), self.ssh2(levels[1]), self.ssh3(levels[2])]
        return [
            torch.cat(
                [
                    layer["conv1x1"](feature).permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)
                    for feature, layer in zip(features, self.get_submodule(name), strict=True)
                ],
                dim=1,
            )
            for name, width in (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10))
        ]


@pytest.mark.parametrize("file", ["slim_Final", "RBF_Final", "mobilenet0.25_Final"])
def test_folded_network_equals_the_plain_one(file: str, test_data: Path) -> None:
    state = torch.load(test_data / "weights" / f"{file}.pth", weights_only=True, map_location="cpu")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    plain: nn.Module
    if file.startswith("mobile"):
        plain, ours = PlainRetina(), MobileNetRetina(folded(state))
    else:
        plain = PlainLight(rfb=file.startswith("RBF"))
        ours = (Rfb if file.startswith("RBF") else Slim)(folded(state))
    # every value of the file is used, but for the backbone's unused classifier
    plain.load_state_dict({name: value for name, value in state.items() if ".fc." not in name}, strict=True)
    x = torch.randn((1, 3, 150, 97), generator=torch.Generator().manual_seed(0)) * 60
    with torch.no_grad():
        for expected, found in zip(plain.eval()(x), ours(x), strict=True):
            assert expected.shape == found.shape
            assert (expected - found).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("variant", ["mobilenet", "rfb", "slim"])
def test_portraits(variant: str, test_data: Path, portraits: dict[str, np.ndarray]) -> None:
    """One sure face each, with the five landmarks near where MTCNN's original has them."""
    reference = json.loads(Path(__file__).with_name("reference_detections.json").read_text())["detections"]
    detector = load(f"retinaface-{variant}", weights_dir=test_data / "weights")
    for name, pixels in portraits.items():
        (found,) = detector.detect(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)
        assert found.scores[0] > 0.99 and (found.scores[1:] < 0.9).all()
        assert found.landmarks is not None
        expected = torch.tensor(reference["mtcnn"][name]["landmarks"][0])
        width = float(found.boxes[0, 2] - found.boxes[0, 0])
        assert (found.landmarks[0] - expected).abs().max() < 0.1 * width
