"""An ONNX graph as a torch module: convolutional networks of fixed structure and any input size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.detectors.readers.onnx import Attribute, Graph, Node
from provenance.errors import MissingModelError


class OnnxModule(nn.Module):
    """Runs a :class:`Graph`; batch normalisation after a convolution is folded into it when loading.

    Raises:
        MissingModelError: the graph has an operation or an attribute value that is not supported.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.inputs, self.outputs = graph.inputs, graph.outputs
        constants = dict(graph.constants)
        self.nodes = _folded(list(graph.nodes), constants)
        self._buffer_of: dict[str, str] = {}
        used = {name for node in self.nodes for name in node.inputs}
        for number, name in enumerate(sorted(used & constants.keys())):
            self._buffer_of[name] = f"constant{number}"
            self.register_buffer(f"constant{number}", torch.from_numpy(np.array(constants[name])))
        for node in self.nodes:
            if node.operation not in _OPERATIONS:
                raise MissingModelError(f"the ONNX operation {node.operation} is not supported")
        self._last_use = {name: at for at, node in enumerate(self.nodes) for name in node.inputs}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The graph's outputs, in its order, for its inputs, in its order."""
        values: dict[str, Tensor] = dict(zip(self.inputs, given, strict=True))
        values.update({name: getattr(self, buffer) for name, buffer in self._buffer_of.items()})
        for at, node in enumerate(self.nodes):
            arguments = [values[name] if name else None for name in node.inputs]
            result = _OPERATIONS[node.operation](node.attributes, *arguments)
            values[node.outputs[0]] = result
            for name in node.inputs:
                if self._last_use.get(name) == at and name not in self.outputs:
                    values.pop(name, None)
        return tuple(values[name] for name in self.outputs)


def _folded(nodes: list[Node], constants: dict[str, np.ndarray]) -> tuple[Node, ...]:
    """Batch normalisation that follows a convolution becomes part of its weight and bias."""
    maker = {node.outputs[0]: node for node in nodes}
    uses: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    replaced: dict[int, Node | None] = {}
    for node in nodes:
        before = maker.get(node.inputs[0]) if node.operation == "BatchNormalization" else None
        if before is None or before.operation not in ("Conv", "ConvTranspose") or uses[node.inputs[0]] != 1:
            continue
        scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
        gain = scale / np.sqrt(variance + _number(node.attributes, "epsilon", 1e-5))
        weight = constants[before.inputs[1]].astype(np.float64)
        old_bias = constants[before.inputs[2]] if len(before.inputs) > 2 else np.zeros(len(gain))
        along = (1, -1, 1, 1) if before.operation == "ConvTranspose" else (-1, 1, 1, 1)
        weight_name, bias_name = f"{node.outputs[0]}/weight", f"{node.outputs[0]}/bias"
        constants[weight_name] = (weight * gain.reshape(along)).astype(np.float32)
        constants[bias_name] = ((old_bias - mean) * gain + shift).astype(np.float32)
        merged = (before.inputs[0], weight_name, bias_name)
        replaced[id(before)] = Node(before.operation, merged, node.outputs, before.attributes)
        replaced[id(node)] = None
    result = (replaced.get(id(node), node) for node in nodes)
    return tuple(node for node in result if node is not None)


def _number(attributes: dict[str, Attribute], name: str, default: float) -> float:
    value = attributes.get(name, default)
    if not isinstance(value, int | float):
        raise MissingModelError(f"the ONNX attribute {name} is {value!r}, expected a number")
    return value


def _list(attributes: dict[str, Attribute], name: str, default: list[int]) -> list[int]:
    value = attributes.get(name, default)
    if not isinstance(value, list):
        raise MissingModelError(f"the ONNX attribute {name} is {value!r}, expected a list")
    return [int(item) for item in value]


def _padded(x: Tensor, pads: list[int]) -> tuple[Tensor, tuple[int, int]]:
    """Padding as torch wants it: symmetric inside the operation, else before it."""
    top, left, bottom, right = pads
    if top == bottom and left == right:
        return x, (top, left)
    return functional.pad(x, (left, right, top, bottom)), (0, 0)


def _convolve(
    attributes: dict[str, Attribute], x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    x, padding = _padded(x, _list(attributes, "pads", [0, 0, 0, 0]))
    return functional.conv2d(
        x,
        weight,
        bias,
        stride=tuple(_list(attributes, "strides", [1, 1])),
        padding=padding,
        dilation=tuple(_list(attributes, "dilations", [1, 1])),
        groups=int(_number(attributes, "group", 1)),
    )


def _transposed(
    attributes: dict[str, Attribute], x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    if any(_list(attributes, "pads", [0, 0, 0, 0])) or "output_padding" in attributes:
        raise MissingModelError("padding in the ONNX operation ConvTranspose is not supported")
    return functional.conv_transpose2d(
        x,
        weight,
        bias,
        stride=tuple(_list(attributes, "strides", [1, 1])),
        groups=int(_number(attributes, "group", 1)),
    )


def _normalized(
    attributes: dict[str, Attribute], x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    epsilon = _number(attributes, "epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, shift, training=False, eps=epsilon)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda attributes, a, b: a + b,
    "BatchNormalization": _normalized,
    "Conv": _convolve,
    "ConvTranspose": _transposed,
    "Relu": lambda attributes, x: functional.relu(x),
    "Sigmoid": lambda attributes, x: torch.sigmoid(x),
}
