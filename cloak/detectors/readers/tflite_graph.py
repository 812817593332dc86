"""A TFLite graph as a torch module, differentiable in its input.

TFLite keeps pictures as (batch, height, width, channels); here they are (batch, channels, height, width) in
channels-last memory, which is the same bytes, so that only the bookkeeping of axes differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.detectors.readers.tflite import Graph, Operator, Table
from provenance.errors import MissingModelError

_ADD, _CONCATENATION, _CONVOLUTION, _DEPTHWISE, _DEQUANTIZE = 0, 2, 3, 4, 6
_LOGISTIC, _MAX_POOL, _RELU, _RELU6, _RESHAPE, _RESIZE, _PAD, _PRELU = 14, 17, 19, 21, 22, 23, 34, 54
_AXIS = (0, 2, 3, 1)  # where each TFLite axis of a picture is in torch


class TfliteModule(nn.Module):
    """Runs a :class:`Graph` on ``(B, 3, H, W)`` inputs of the graph's own height and width.

    Raises:
        MissingModelError: the graph has an operation or an option that is not supported.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._names: dict[int, str] = {}
        self._steps: list[tuple[Operator, Callable[..., Tensor]]] = []
        plain = {
            index: info.constant for index, info in enumerate(graph.tensors) if info.constant is not None
        }
        for operator in graph.operators:
            if operator.code == _DEQUANTIZE and operator.inputs[0] in plain:
                plain[operator.outputs[0]] = plain[operator.inputs[0]].astype(np.float32)
                continue
            if operator.code not in _OPERATIONS:
                raise MissingModelError(f"the TFLite operation {operator.code} is not supported")
            self._steps.append((operator, _OPERATIONS[operator.code](operator, graph)))
            for place, index in enumerate(operator.inputs):
                if index in plain and index not in self._names:
                    self._names[index] = f"constant{index}"
                    value = torch.from_numpy(_arranged(plain[index], operator.code, place).copy())
                    self.register_buffer(self._names[index], value)
        self._last_use = {i: at for at, (operator, _) in enumerate(self._steps) for i in operator.inputs}

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The graph's outputs, in its order."""
        values: dict[int, Tensor] = {index: getattr(self, name) for index, name in self._names.items()}
        values[self.graph.inputs[0]] = pictures.contiguous(memory_format=torch.channels_last)
        for at, (operator, run) in enumerate(self._steps):
            arguments = [values[index] for index in operator.inputs if index >= 0]
            values[operator.outputs[0]] = run(*arguments)
            for index in operator.inputs:
                if self._last_use[index] == at and index not in self.graph.outputs:
                    values.pop(index, None)
        return tuple(values[index] for index in self.graph.outputs)


def _arranged(constant: np.ndarray, code: int, place: int) -> np.ndarray:
    """A constant in the axis order that its operation wants here."""
    if code == _CONVOLUTION and place == 1:
        return constant.transpose(0, 3, 1, 2)
    if code == _DEPTHWISE and place == 1:
        return constant.transpose(3, 0, 1, 2)
    if code == _PRELU and place == 1:
        return constant.reshape(-1)
    if constant.ndim == 4:
        return constant.transpose(0, 3, 1, 2)
    return constant


def _options(operator: Operator) -> Table:
    if operator.options is None:
        raise MissingModelError(f"the TFLite operation {operator.code} lacks its options")
    return operator.options


def _activation(kind: int) -> Callable[[Tensor], Tensor]:
    try:
        return {0: lambda x: x, 1: functional.relu, 3: functional.relu6}[kind]
    except KeyError:
        raise MissingModelError(f"the TFLite activation {kind} is not supported") from None


def _same(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], value: float = 0.0) -> Tensor:
    """TFLite's SAME padding: as much as the last window needs, the odd pixel at the far side."""
    amounts = []
    for side, window, step in zip(x.shape[-2:], kernel, stride, strict=True):
        whole = max((-(-side // step) - 1) * step + window - side, 0)
        amounts.append((whole // 2, whole - whole // 2))
    if not any(amount for pair in amounts for amount in pair):
        return x
    return functional.pad(x, (*amounts[1], *amounts[0]), value=value)


def _convolution(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    depthwise = operator.code == _DEPTHWISE
    options = _options(operator)
    same = options.integer(0, "<b") == 0
    stride = (options.integer(2), options.integer(1))
    activation = _activation(options.integer(4 if depthwise else 3, "<b"))
    if any(options.integer(number, default=1) != 1 for number in ((5, 6) if depthwise else (4, 5))):
        raise MissingModelError("dilation in the TFLite model is not supported")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if same:
            x = _same(x, (weight.shape[2], weight.shape[3]), stride)
        groups = x.shape[1] if depthwise else 1
        return activation(functional.conv2d(x, weight, bias, stride=stride, groups=groups))

    return run


def _max_pool(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    options = _options(operator)
    same = options.integer(0, "<b") == 0
    stride = (options.integer(2), options.integer(1))
    kernel = (options.integer(4), options.integer(3))
    activation = _activation(options.integer(5, "<b"))

    def run(x: Tensor) -> Tensor:
        if same:
            x = _same(x, kernel, stride, value=float("-inf"))
        return activation(functional.max_pool2d(x, kernel, stride))

    return run


def _add(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    activation = _activation(operator.options.integer(0, "<b") if operator.options else 0)
    return lambda first, second: activation(first + second)


def _concatenation(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    options = _options(operator)
    activation = _activation(options.integer(1, "<b"))
    dimensions = len(graph.tensors[operator.outputs[0]].shape)
    axis = options.integer(0) % dimensions
    if dimensions == 4:
        axis = _AXIS[axis]
    return lambda *parts: activation(torch.cat(parts, dim=axis))


def _reshape(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    target = graph.tensors[operator.outputs[0]].shape

    def run(x: Tensor, shape: Tensor | None = None) -> Tensor:
        natural = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
        result = natural.reshape(x.shape[0], *target[1:])
        return result.permute(0, 3, 1, 2) if result.ndim == 4 else result

    return run


def _resize(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    options = _options(operator)
    align, half_pixel = bool(options.integer(2, "<b")), bool(options.integer(3, "<b"))
    height, width = graph.tensors[operator.outputs[0]].shape[1:3]
    if align or half_pixel:
        return lambda x, size: functional.interpolate(
            x, size=(height, width), mode="bilinear", align_corners=align
        )
    return lambda x, size: _resized_from_corner(x, height, width)


def _resized_from_corner(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation with pixel i of the target at ``i * source / target`` (TFLite's old rule)."""

    def along(values: Tensor, axis: int, target: int) -> Tensor:
        source = values.shape[axis]
        position = torch.arange(target, device=values.device, dtype=values.dtype) * (source / target)
        first = position.floor().long().clamp(max=source - 1)
        share = (position - first).reshape([-1 if d == axis else 1 for d in range(4)])
        near = values.index_select(axis, first)
        far = values.index_select(axis, (first + 1).clamp(max=source - 1))
        return near + (far - near) * share

    return along(along(x, 2, height), 3, width)


def _pad(operator: Operator, graph: Graph) -> Callable[..., Tensor]:
    amounts = graph.tensors[operator.inputs[1]].constant
    if amounts is None or amounts.shape != (4, 2):
        raise MissingModelError("padding in the TFLite model is not a constant for four axes")
    batch, height, width, channels = ([int(n) for n in pair] for pair in amounts)
    order = [*width, *height, *channels, *batch]
    return lambda x, _: functional.pad(x, order)


_OPERATIONS: dict[int, Callable[[Operator, Graph], Callable[..., Any]]] = {
    _ADD: _add,
    _CONCATENATION: _concatenation,
    _CONVOLUTION: _convolution,
    _DEPTHWISE: _convolution,
    _LOGISTIC: lambda operator, graph: torch.sigmoid,
    _MAX_POOL: _max_pool,
    _RELU: lambda operator, graph: functional.relu,
    _RELU6: lambda operator, graph: functional.relu6,
    _RESHAPE: _reshape,
    _RESIZE: _resize,
    _PAD: _pad,
    _PRELU: lambda operator, graph: functional.prelu,
}
