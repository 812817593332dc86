"""A TensorFlow.js graph model as a torch module, differentiable in its input.

TensorFlow.js ships a graph as JSON (nodes in TensorFlow's GraphDef form) and its weights as one file, see
:mod:`cloak.detectors.readers.tfjs`. Only the operators that face encoders use are known; a graph with another one is
refused when it is read. Data runs in TensorFlow's own order of axes, ``(B, H, W, C)``. Nothing in the file is run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.detectors.readers.tfjs import read_tensors
from provenance.errors import MissingModelError

_MOST_NODES = 5000
_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class _Node:
    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def text(self, key: str, default: str = "") -> str:
        """A string attribute; they are base64 in JSON."""
        found = self.attributes.get(key, {}).get("s")
        return base64.b64decode(found, validate=True).decode("ascii") if found else default

    def integers(self, key: str) -> list[int]:
        return [int(value) for value in self.attributes.get(key, {}).get("list", {}).get("i", [])]

    def texts(self, key: str) -> list[str]:
        found = self.attributes.get(key, {}).get("list", {}).get("s", [])
        return [base64.b64decode(value, validate=True).decode("ascii") for value in found]

    def flag(self, key: str) -> bool:
        return bool(self.attributes.get(key, {}).get("b", False))


class TfjsGraph(nn.Module):
    """The graph, frozen and in eval mode.

    Args:
        model: the JSON file (``model.json``), at most 8 MiB.
        values: the weights file it names.
        output: the node whose value :meth:`forward` gives.

    Raises:
        MissingModelError: they do not fit together, or need an operator that is not known here.
    """

    def __init__(self, model: bytes, values: bytes, output: str) -> None:
        super().__init__()
        if len(model) > _MOST_BYTES:
            raise MissingModelError(
                f"the graph's description has {len(model)} bytes, at most {_MOST_BYTES} are read"
            )
        try:
            content = json.loads(model)
            nodes = [_node(entry) for entry in content["modelTopology"]["node"]]
            manifest = json.dumps(content["weightsManifest"]).encode()
        except (ValueError, KeyError, TypeError) as error:
            raise MissingModelError(f"the graph cannot be read: {error}") from error
        if len(nodes) > _MOST_NODES:
            raise MissingModelError(f"the graph has {len(nodes)} nodes, at most {_MOST_NODES} are read")
        self.order = _needed(nodes, output)
        self.output = output
        constants = read_tensors(manifest, values)
        self._names: dict[str, str] = {}
        for node in self.order:
            if node.op == "Const":
                if node.name not in constants:
                    raise MissingModelError(f"the graph's constant {node.name!r} has no value")
                self._names[node.name] = f"constant_{len(self._names)}"
                self.register_buffer(self._names[node.name], constants[node.name])
            elif node.op not in _OPERATORS and node.op != "Placeholder":
                raise MissingModelError(f"the graph uses {node.op}, which is not known here")
        if sum(node.op == "Placeholder" for node in self.order) != 1:
            raise MissingModelError("the graph does not have exactly one input")
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """The output node's value for ``(B, H, W, C)`` pictures, in the value range that the graph expects."""
        known: dict[str, Tensor] = {}
        for node in self.order:
            if node.op == "Placeholder":
                known[node.name] = pictures
            elif node.op == "Const":
                known[node.name] = self.get_buffer(self._names[node.name])
            else:
                known[node.name] = _OPERATORS[node.op](node, [known[name] for name in node.inputs])
        return known[self.output]


def _node(entry: dict[str, Any]) -> _Node:
    inputs = tuple(str(name).removeprefix("^").partition(":")[0] for name in entry.get("input", ()))
    return _Node(str(entry["name"]), str(entry["op"]), inputs, dict(entry.get("attr", {})))


def _needed(nodes: Sequence[_Node], output: str) -> list[_Node]:
    """The nodes that the output depends on, each after its inputs."""
    by_name = {node.name: node for node in nodes}
    order: list[_Node] = []
    state: dict[str, bool] = {}  # False while its inputs are visited
    stack = [(output, False)]
    while stack:
        name, visited = stack.pop()
        if visited:
            state[name] = True
            order.append(by_name[name])
            continue
        if name not in by_name:
            raise MissingModelError(f"the graph has no node {name!r}")
        if name in state:
            if not state[name]:
                raise MissingModelError(f"the graph's node {name!r} depends on itself")
            continue
        state[name] = False
        stack.append((name, True))
        stack.extend((other, False) for other in by_name[name].inputs if not state.get(other, False))
    return order


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's "SAME" padding before and after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _convolve(node: _Node, inputs: Sequence[Tensor], depthwise: bool) -> Tensor:
    x, weight = inputs[0].permute(0, 3, 1, 2), inputs[1]
    strides, dilations = node.integers("strides") or [1, 1, 1, 1], node.integers("dilations") or [1, 1, 1, 1]
    if node.text("data_format", "NHWC") != "NHWC":
        raise MissingModelError("the graph's convolutions are not in the order of axes that is known here")
    if node.text("padding") == "SAME":
        top, bottom = _same(x.shape[2], weight.shape[0], strides[1], dilations[1])
        left, right = _same(x.shape[3], weight.shape[1], strides[2], dilations[2])
        x = functional.pad(x, (left, right, top, bottom))
    elif node.text("padding") != "VALID":
        raise MissingModelError(f"the graph pads by {node.text('padding')!r}, which is not known here")
    groups = 1
    if depthwise:
        groups = weight.shape[2]
        kernel = weight.permute(2, 3, 0, 1).reshape(-1, 1, *weight.shape[:2])
    else:
        kernel = weight.permute(3, 2, 0, 1)
    y = functional.conv2d(x, kernel, None, strides[1:3], 0, dilations[1:3], groups)
    return _fused(node, y.permute(0, 2, 3, 1), inputs[2:])


def _fused(node: _Node, y: Tensor, extra: Sequence[Tensor]) -> Tensor:
    """What was fused into an operator: a bias, then an activation."""
    rest = list(extra)
    for name in node.texts("fused_ops"):
        if name == "BiasAdd":
            y = y + rest.pop(0)
        elif name == "Relu":
            y = functional.relu(y)
        elif name == "Relu6":
            y = y.clamp(0, 6)
        elif name == "Prelu":
            slope = rest.pop(0)
            y = functional.relu(y) - slope * functional.relu(-y)
        else:
            raise MissingModelError(f"the graph fuses {name}, which is not known here")
    return y


def _matmul(node: _Node, inputs: Sequence[Tensor]) -> Tensor:
    a = inputs[0].transpose(-1, -2) if node.flag("transpose_a") else inputs[0]
    b = inputs[1].transpose(-1, -2) if node.flag("transpose_b") else inputs[1]
    return _fused(node, a @ b, inputs[2:])


def _axes(tensor: Tensor) -> list[int]:
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _squeeze(node: _Node, inputs: Sequence[Tensor]) -> Tensor:
    axes = node.integers("squeeze_dims")
    return inputs[0].squeeze(tuple(axes)) if axes else inputs[0].squeeze()


def _pad(node: _Node, inputs: Sequence[Tensor]) -> Tensor:
    pairs = inputs[1].reshape(-1, 2).tolist()
    if any(not 0 <= side <= 64 for pair in pairs for side in pair):
        raise MissingModelError("the graph pads by more than 64")
    return functional.pad(inputs[0], [int(side) for pair in reversed(pairs) for side in pair])


def _reshape(node: _Node, inputs: Sequence[Tensor]) -> Tensor:
    shape = _axes(inputs[1])
    # graphs that were frozen for one picture say 1 where the batch stands
    return inputs[0].reshape([len(inputs[0]), *shape[1:]] if len(shape) > 1 and shape[0] == 1 else shape)


_OPERATORS: dict[str, Callable[[_Node, Sequence[Tensor]], Tensor]] = {
    "Conv2D": lambda node, x: _convolve(node, x, False),
    "_FusedConv2D": lambda node, x: _convolve(node, x, False),
    "DepthwiseConv2dNative": lambda node, x: _convolve(node, x, True),
    "FusedDepthwiseConv2dNative": lambda node, x: _convolve(node, x, True),
    "MatMul": _matmul,
    "_FusedMatMul": _matmul,
    "Add": lambda node, x: x[0] + x[1],
    "AddV2": lambda node, x: x[0] + x[1],
    "BiasAdd": lambda node, x: x[0] + x[1],
    "Sub": lambda node, x: x[0] - x[1],
    "Mul": lambda node, x: x[0] * x[1],
    "Maximum": lambda node, x: torch.maximum(x[0], x[1]),
    "Minimum": lambda node, x: torch.minimum(x[0], x[1]),
    "Relu": lambda node, x: functional.relu(x[0]),
    "Relu6": lambda node, x: x[0].clamp(0, 6),
    "Abs": lambda node, x: x[0].abs(),
    "Square": lambda node, x: x[0].square(),
    "Rsqrt": lambda node, x: x[0].rsqrt(),
    "Sigmoid": lambda node, x: torch.sigmoid(x[0]),
    "Softmax": lambda node, x: torch.softmax(x[0], -1),
    "Identity": lambda node, x: x[0],
    "Sum": lambda node, x: x[0].sum(_axes(x[1]), keepdim=node.flag("keep_dims")),
    "Mean": lambda node, x: x[0].mean(_axes(x[1]), keepdim=node.flag("keep_dims")),
    "Squeeze": _squeeze,
    "Pad": _pad,
    "Reshape": _reshape,
}
