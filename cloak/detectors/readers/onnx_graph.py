"""An ONNX graph as a torch module: convolutional networks, whatever their input's size, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloak.detectors.readers.onnx import Graph, Node
from cloak.detectors.readers.onnx_call import MOST_VALUES, Call, as_tensor
from cloak.detectors.readers.onnx_layers import LAYERS
from cloak.detectors.readers.onnx_math import MATH
from cloak.detectors.readers.onnx_shapes import SHAPES
from provenance.errors import MissingModelError

OPERATIONS: dict[str, Callable[..., Any]] = {**MATH, **LAYERS, **SHAPES}
#: All results of one picture together: what a large detector makes of 640 x 640 pixels, thirty times.
_MOST_WORK = 1 << 35
_HINTS = {
    "NonMaxSuppression": "export the model without suppression (Ultralytics: nms=False)",
    "TopK": "export the model without suppression (Ultralytics: nms=False)",
    "DequantizeLinear": "bring the model as it was before it was quantised",
    "QuantizeLinear": "bring the model as it was before it was quantised",
    "QLinearConv": "bring the model as it was before it was quantised",
}


class OnnxModule(nn.Module):
    """Runs a :class:`Graph`; what follows from constants alone is computed, and batch normalisation after a convolution
    folded into it, when loading.

    Floating-point numbers of every size are computed with as the picture's. Whole numbers (shapes, indices) stay on
    the CPU.

    Raises:
        MissingModelError: the graph has an operation or an attribute value that is not supported, or names a value that
            nothing makes.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.inputs, self.outputs, self.opset = graph.inputs, graph.outputs, graph.opset
        nodes = needed(graph)
        for node in nodes:
            if node.operation not in OPERATIONS:
                raise MissingModelError(
                    f"the ONNX operation {node.operation[:60]} is not supported",
                    hint=_HINTS.get(node.operation, "ask for it, or bring another export of the model"),
                )
        _check_names(graph, nodes)
        constants = {name: np.asarray(array) for name, array in graph.constants.items()}
        self.nodes = _folded(self._precomputed(nodes, constants), constants)
        self._buffer_of: dict[str, str] = {}
        self._fixed: dict[str, Tensor] = {}
        used = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        for number, name in enumerate(sorted(used & constants.keys())):
            value = as_tensor(constants[name])
            if value.is_floating_point():
                self._buffer_of[name] = f"constant{number}"
                self.register_buffer(f"constant{number}", value)
            else:
                self._fixed[name] = value
        self._last_use = {name: at for at, node in enumerate(self.nodes) for name in node.inputs}

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The graph's outputs, in its order, for its inputs, in its order.

        Raises:
            MissingModelError: an operation cannot be done with what it is given, or results grow too large.
        """
        values: dict[str, Tensor] = dict(zip(self.inputs, given, strict=True))
        values.update({name: getattr(self, buffer) for name, buffer in self._buffer_of.items()})
        values.update(self._fixed)
        work = 0
        for at, node in enumerate(self.nodes):
            results = self._run(node, values, given[0].dtype, given[0].device)
            work += sum(one.numel() for one in results)
            if work > _MOST_WORK:
                raise MissingModelError("the ONNX model makes too much of one picture")
            values.update(zip(node.outputs, results, strict=False))
            for name in node.inputs:
                if self._last_use.get(name) == at and name not in self.outputs:
                    values.pop(name, None)
        return tuple(values[name] for name in self.outputs)

    def _run(
        self, node: Node, values: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device
    ) -> tuple[Tensor, ...]:
        call = Call(node.operation, node.attributes, self.opset, len(node.outputs), dtype, device)
        arguments = [values[name] if name else None for name in node.inputs]
        try:
            result = OPERATIONS[node.operation](call, *arguments)
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
            if "out of memory" in str(error) or "allocate" in str(error):
                raise
            raise call.refused(str(error).splitlines()[0][:200] if str(error) else "wrong input") from error
        results: tuple[Tensor, ...] = result if isinstance(result, tuple) else (result,)
        if any(one.numel() > MOST_VALUES for one in results):
            raise call.refused("a result is too large")
        return results

    @torch.no_grad()
    def _precomputed(self, nodes: tuple[Node, ...], constants: dict[str, np.ndarray]) -> list[Node]:
        """The nodes that depend on the picture; results of the others become constants."""
        left = []
        tensors = {name: as_tensor(array) for name, array in constants.items()}
        for node in nodes:
            if any(name and name not in tensors for name in node.inputs):
                left.append(node)
                continue
            results = self._run(node, tensors, torch.float32, torch.device("cpu"))
            for name, value in zip(node.outputs, results, strict=False):
                tensors[name] = value
                constants[name] = value.numpy()
        return left


def needed(graph: Graph) -> tuple[Node, ...]:
    """The nodes on which the graph's outputs depend."""
    wanted, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))


def _check_names(graph: Graph, nodes: tuple[Node, ...]) -> None:
    """Every value is made before it is used."""
    known = {"", *graph.inputs, *graph.constants}
    for node in nodes:
        if missing := [name for name in node.inputs if name not in known]:
            raise MissingModelError(f"the ONNX model uses {missing[0][:60]!r}, which nothing makes before")
        if not node.outputs:
            raise MissingModelError(f"the ONNX operation {node.operation} makes nothing")
        known.update(node.outputs)
    if missing := [name for name in graph.outputs if name not in known]:
        raise MissingModelError(f"the ONNX model's output {missing[0][:60]!r} is made by nothing")
    if len(graph.inputs) != 1 or not graph.outputs:
        raise MissingModelError(
            f"the ONNX model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected one picture"
        )


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
        if any(name and name not in constants for name in (*node.inputs[1:], *before.inputs[1:])):
            continue
        if before.operation == "ConvTranspose" and before.attributes.get("group", 1) != 1:
            continue
        scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
        epsilon = node.attributes.get("epsilon", 1e-5)
        gain = scale / np.sqrt(variance + (epsilon if isinstance(epsilon, float) else 1e-5))
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
