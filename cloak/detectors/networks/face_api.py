"""The networks of :mod:`cloak.detectors.face_api`, in torch. Input: RGB in 0-255, a square of the network's side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, max_pool2d, pad

from cloak.detectors.readers.tfjs import convolution, depthwise
from provenance.errors import MissingModelError

Weights = dict[str, Tensor]


class _FromWeights(nn.Module):
    """Looks its tensors up by name and says which one is missing."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self._weights = weights

    def keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor.clone())

    def take(self, name: str) -> Tensor:
        if name not in self._weights:
            raise MissingModelError(f"the weights hold no {name}: this is another model")
        return self._weights[name]

    def done(self) -> None:
        self._weights = {}


#: Width and height of the anchors in cells of 32 pixels.
_ANCHORS = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)
_MEAN = (117.001, 114.697, 97.404)


class TinyYolo(_FromWeights):
    """Six convolutions, five of them separable, and one cell of five anchors for every 32 pixels."""

    family, side, overlap = "tiny-yolo", 416, 0.4
    anchors: Tensor
    mean: Tensor
    first: Tensor
    first_bias: Tensor
    last: Tensor
    last_bias: Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.keep("anchors", torch.tensor(_ANCHORS))
        self.keep("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.keep("first", convolution(self.take("conv0/filters")))
        self.keep("first_bias", self.take("conv0/bias"))
        for layer in range(1, 6):
            self.keep(f"depth{layer}", depthwise(self.take(f"conv{layer}/depthwise_filter")))
            self.keep(f"point{layer}", convolution(self.take(f"conv{layer}/pointwise_filter")))
            self.keep(f"bias{layer}", self.take(f"conv{layer}/bias"))
        self.keep("last", convolution(self.take("conv8/filters")))
        self.keep("last_bias", self.take("conv8/bias"))
        self.done()

    def forward(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, M)`` and boxes ``(B, M, 4)`` as shares of the square's side."""
        values = leaky_relu(conv2d((square - self.mean) / 255, self.first, self.first_bias), 0.1)
        for layer in range(1, 6):
            values = _pooled(values, 2)
            deep = self.get_buffer(f"depth{layer}")
            values = conv2d(values, deep, padding=1, groups=len(deep))
            values = conv2d(values, self.get_buffer(f"point{layer}"), self.get_buffer(f"bias{layer}"))
            values = leaky_relu(values, 0.1)
        values = conv2d(_pooled(values, 1), self.last, self.last_bias)
        rows, columns = values.shape[-2:]
        cells = values.permute(0, 2, 3, 1).reshape(len(values), rows, columns, len(self.anchors), 5)
        y, x = torch.meshgrid(
            torch.arange(rows, device=values.device),
            torch.arange(columns, device=values.device),
            indexing="ij",
        )
        corner = torch.stack([x, y], -1)[None, :, :, None].to(values.dtype)
        middle = torch.sigmoid(cells[..., :2]) + corner
        half = cells[..., 2:4].exp() * self.anchors / 2
        boxes = torch.cat([middle - half, middle + half], -1) / rows
        return cells[..., 4].flatten(1), boxes.flatten(1, 3)


def _pooled(values: Tensor, stride: int) -> Tensor:
    """The largest of 2 x 2, the lower and right border filled up as TensorFlow's "same" does."""
    height, width = values.shape[-2:]
    below, right = (1 if stride == 1 or side % 2 else 0 for side in (height, width))
    return max_pool2d(pad(values, (0, right, 0, below), value=float("-inf")), 2, stride)


#: Layers of MobileNet v1 whose depthwise convolution halves the map.
_HALVING = (2, 4, 6, 12)
_EPSILON = 0.0010000000474974513


class SsdMobileNet(_FromWeights):
    """MobileNet v1 with six maps of anchors; the boxes of all anchors come with the weights."""

    family, side, overlap = "ssd", 512, 0.5
    priors: Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._point("net0", "MobilenetV1/Conv2d_0_pointwise")
        for layer in range(1, 14):
            self._depth(f"deep{layer}", f"MobilenetV1/Conv2d_{layer}_depthwise")
            self._point(f"net{layer}", f"MobilenetV1/Conv2d_{layer}_pointwise")
        for layer in range(8):
            self._point(f"extra{layer}", f"Prediction/Conv2d_{layer}_pointwise")
        for level in range(6):
            for part, name in (("box", "BoxEncodingPredictor"), ("face", "ClassPredictor")):
                source = f"Prediction/BoxPredictor_{level}/{name}"
                self.keep(f"{part}{level}", convolution(self.take(f"{source}/weights")))
                self.keep(f"{part}{level}_bias", self.take(f"{source}/biases"))
        self.keep("priors", self.take("Output/extra_dim")[0])
        self.done()

    def _point(self, name: str, source: str) -> None:
        self.keep(name, convolution(self.take(f"{source}/weights")))
        self.keep(f"{name}_bias", self.take(f"{source}/convolution_bn_offset"))

    def _depth(self, name: str, source: str) -> None:
        """A depthwise convolution with its normalisation folded in."""
        gamma, beta, mean, variance = (
            self.take(f"{source}/BatchNorm/{part}")
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / (variance + _EPSILON).sqrt()
        self.keep(name, depthwise(self.take(f"{source}/depthwise_weights")) * scale.view(-1, 1, 1, 1))
        self.keep(f"{name}_bias", beta - mean * scale)

    def forward(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, M)`` and boxes ``(B, M, 4)`` as shares of the square's side."""
        values = self._layer(square / 127.5 - 1, "net0", 2)
        maps = []
        for layer in range(1, 14):
            values = self._layer(values, f"deep{layer}", 2 if layer in _HALVING else 1)
            values = self._layer(values, f"net{layer}", 1)
            if layer in (11, 13):
                maps.append(values)
        for layer in range(8):
            values = self._layer(values, f"extra{layer}", 1 if layer % 2 == 0 else 2)
            if layer % 2:
                maps.append(values)
        boxes, logits = [], []
        for level, found in enumerate(maps):
            coded = conv2d(found, self.get_buffer(f"box{level}"), self.get_buffer(f"box{level}_bias"))
            boxes.append(coded.permute(0, 2, 3, 1).reshape(len(square), -1, 4))
            classes = conv2d(found, self.get_buffer(f"face{level}"), self.get_buffer(f"face{level}_bias"))
            logits.append(classes.permute(0, 2, 3, 1).reshape(len(square), -1, 3)[..., 1])
        return torch.cat(logits, 1), self._decoded(torch.cat(boxes, 1))

    def _layer(self, values: Tensor, name: str, stride: int) -> Tensor:
        weights, bias = self.get_buffer(name), self.get_buffer(f"{name}_bias")
        groups = len(weights) if weights.shape[1] == 1 else 1
        return conv2d(_padded(values, weights.shape[-1], stride), weights, bias, stride, groups=groups).clamp(
            0, 6
        )

    def _decoded(self, coded: Tensor) -> Tensor:
        """Boxes ``x1 y1 x2 y2`` from their offsets; the weights put vertical before horizontal."""
        sides = self.priors[:, 2:] - self.priors[:, :2]
        middle = coded[..., :2] / 10 * sides + self.priors[:, :2] + sides / 2
        half = (coded[..., 2:] / 5).exp() * sides / 2
        return torch.cat([(middle - half).flip(-1), (middle + half).flip(-1)], -1)


def _padded(values: Tensor, kernel: int, stride: int) -> Tensor:
    """With the border that TensorFlow's "same" gives: the odd pixel lies below and to the right."""
    before_after = []
    for side in (values.shape[-1], values.shape[-2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before_after += [total // 2, total - total // 2]
    return pad(values, tuple(before_after))
