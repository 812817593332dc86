"""The networks of biubug6's Face-Detector-1MB-with-landmark: RetinaFace (Deng et al., 2019) on MobileNet 0.25,
and the two smaller ones after Ultra-Light-Fast-Generic-Face-Detector (slim, and RFB after Liu et al., 2018).

Batch normalisation is folded into the convolutions when the weights are loaded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, relu

Weights = dict[str, Tensor]


def folded(state: dict[str, Tensor]) -> Weights:
    """Convolutions with their batch normalisation merged in, as ``NAME.weight`` and ``NAME.bias``.

    In these files each normalisation directly follows its convolution, so file order tells which belongs to
    which. The prefix ``module.`` (left by parallel training) is dropped.
    """
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    weights: Weights = {}
    last = ""
    for name, value in plain.items():
        owner, _, kind = name.rpartition(".")
        if kind == "weight" and value.ndim == 4:
            last = owner
            weights[f"{owner}.weight"] = value.float()
        elif kind == "bias" and owner == last:
            weights[f"{owner}.bias"] = value.float()
        elif kind == "running_var":
            gain = plain[f"{owner}.weight"].double() / (value.double() + 1e-5).sqrt()
            mean, shift = plain[f"{owner}.running_mean"].double(), plain[f"{owner}.bias"].double()
            weight = weights[f"{last}.weight"].double() * gain[:, None, None, None]
            weights[f"{last}.weight"] = weight.float()
            weights[f"{last}.bias"] = (shift - mean * gain).float()
    return weights


class _Network(nn.Module):
    """Convolutions by the names they have in the weights file."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self._names: dict[str, str] = {}
        for number, (name, value) in enumerate(weights.items()):
            self._names[name] = f"weight{number}"
            self.register_buffer(f"weight{number}", value)

    def _conv(self, x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = getattr(self, self._names[f"{name}.weight"])
        bias = getattr(self, self._names[f"{name}.bias"], None) if f"{name}.bias" in self._names else None
        groups = x.shape[1] // weight.shape[1]
        padding = dilation * (weight.shape[2] // 2)
        return conv2d(x, weight, bias, stride, padding, dilation, groups)

    def _separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        x = relu(self._conv(x, f"{name}.0", stride))
        return relu(self._conv(x, f"{name}.3"))

    def _flat(self, x: Tensor, width: int) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)


class MobileNetRetina(_Network):
    """RetinaFace on MobileNet 0.25 with a feature pyramid and context modules; strides 8, 16, 32."""

    strides = (8, 16, 32)
    anchors = ((10, 20), (32, 64), (128, 256))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Box corrections ``(B, M, 4)``, class logits ``(B, M, 2)``, landmark corrections ``(B, M, 10)``."""
        x = relu(self._conv(x, "body.stage1.0.0", 2))
        for number, stride in enumerate((1, 2, 1, 2, 1), start=1):
            x = self._separable(x, f"body.stage1.{number}", stride)
        levels = [x]
        for stage, count in (("stage2", 6), ("stage3", 2)):
            for number in range(count):
                x = self._separable(x, f"body.{stage}.{number}", 2 if number == 0 else 1)
            levels.append(x)
        features = [self._context(f, f"ssh{n}") for n, f in enumerate(self._pyramid(levels), start=1)]
        outputs = []
        for head, width in (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10)):
            maps = [self._conv(f, f"{head}.{n}.conv1x1") for n, f in enumerate(features)]
            outputs.append(torch.cat([self._flat(m, width) for m in maps], dim=1))
        return outputs[0], outputs[1], outputs[2]

    def _pyramid(self, levels: list[Tensor]) -> list[Tensor]:
        first, second, third = (
            relu(self._conv(level, f"fpn.output{n}.0")) for n, level in enumerate(levels, start=1)
        )
        second = second + interpolate(third, size=second.shape[-2:], mode="nearest")
        second = relu(self._conv(second, "fpn.merge2.0"))
        first = first + interpolate(second, size=first.shape[-2:], mode="nearest")
        return [relu(self._conv(first, "fpn.merge1.0")), second, third]

    def _context(self, x: Tensor, name: str) -> Tensor:
        near = self._conv(x, f"{name}.conv3X3.0")
        step = relu(self._conv(x, f"{name}.conv5X5_1.0"))
        middle = self._conv(step, f"{name}.conv5X5_2.0")
        far = relu(self._conv(step, f"{name}.conv7X7_2.0"))
        far = self._conv(far, f"{name}.conv7x7_3.0")
        return relu(torch.cat([near, middle, far], dim=1))


class Slim(_Network):
    """The slim network; strides 8, 16, 32, 64."""

    strides = (8, 16, 32, 64)
    anchors = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Box corrections ``(B, M, 4)``, class logits ``(B, M, 2)``, landmark corrections ``(B, M, 10)``."""
        levels = []
        x = relu(self._conv(x, "conv1.0", 2))
        for number, stride in enumerate((1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 2, 1), start=2):
            x = self._block(x, number, stride)
            if number in (8, 11, 13):
                levels.append(x)
        x = relu(self._conv(x, "conv14.0"))
        levels.append(relu(self._last(x)))
        outputs = []
        for head, width in (("loc", 4), ("conf", 2), ("landm", 10)):
            maps = [self._head(level, f"{head}.{n}") for n, level in enumerate(levels)]
            outputs.append(torch.cat([self._flat(m, width) for m in maps], dim=1))
        return outputs[0], outputs[1], outputs[2]

    def _block(self, x: Tensor, number: int, stride: int) -> Tensor:
        return self._separable(x, f"conv{number}", stride)

    def _last(self, x: Tensor) -> Tensor:
        return self._conv(relu(self._conv(x, "conv14.2.0", 2)), "conv14.2.2")

    def _head(self, x: Tensor, name: str) -> Tensor:
        if f"{name}.weight" in self._names:
            return self._conv(x, name)
        return self._conv(relu(self._conv(x, f"{name}.0")), f"{name}.2")


class Rfb(Slim):
    """The slim network with a receptive field block instead of its eighth layer."""

    def _block(self, x: Tensor, number: int, stride: int) -> Tensor:
        if number != 8:
            return super()._block(x, number, stride)
        branches = [
            self._branch(x, f"conv8.branch{branch}", count, dilation)
            for branch, (count, dilation) in enumerate(((3, 2), (3, 3), (4, 5)))
        ]
        together = self._conv(torch.cat(branches, dim=1), "conv8.ConvLinear.conv")
        return relu(together + self._conv(x, "conv8.shortcut.conv"))

    def _branch(self, x: Tensor, name: str, count: int, dilation: int) -> Tensor:
        """The first and the last convolution have no activation, the last is dilated."""
        x = self._conv(x, f"{name}.0.conv")
        for number in range(1, count - 1):
            x = relu(self._conv(x, f"{name}.{number}.conv"))
        return self._conv(x, f"{name}.{count - 1}.conv", dilation=dilation)
