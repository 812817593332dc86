"""ONNX operations that compute value by value, compare, or reduce."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors.readers.onnx_call import Call, broadcast

_TYPES = {
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    12: torch.int64,
    13: torch.int64,
}
_FLOATS = (1, 10, 11, 16)


def together(call: Call, *tensors: Tensor) -> list[Tensor]:
    """Tensors on one device, after a check that they may be broadcast; shapes are computed on the CPU, pictures not."""
    call.bounded(broadcast(call, *(list(one.shape) for one in tensors)))
    device = next((one.device for one in tensors if one.device.type != "cpu"), tensors[0].device)
    return [one.to(device) for one in tensors]


def _pairwise(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def run(call: Call, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(*together(call, first, other))
        return first

    return run


def _each(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda call, x: function(x)


def _divided(first: Tensor, second: Tensor) -> Tensor:
    if first.is_floating_point() or second.is_floating_point():
        return first / second
    if bool((second == 0).any()):
        return torch.zeros_like(first * second)
    return torch.div(first, second, rounding_mode="trunc")


def _powered(call: Call, base: Tensor, exponent: Tensor) -> Tensor:
    if exponent.numel() == 1 and base.is_floating_point():
        return base ** float(exponent)
    base, exponent = together(call, base, exponent)
    return torch.pow(base, exponent)


def _clipped(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = float(low) if low is not None else call.number("min", -math.inf)
    most = float(high) if high is not None else call.number("max", math.inf)
    if not x.is_floating_point():
        bounds = [None if math.isinf(bound) else int(bound) for bound in (least, most)]
        return x if bounds == [None, None] else x.clamp(*bounds)
    return x.clamp(least, most)


def _cast(call: Call, x: Tensor, like: Tensor | None = None) -> Tensor:
    if like is not None:
        return x.to(like.dtype)
    kind = call.whole("to", 1)
    if kind in _FLOATS:
        return x.to(call.dtype)
    if kind not in _TYPES:
        raise call.refused(f"the type {kind} is not supported")
    return x.to(_TYPES[kind])


def _gelu(call: Call, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=call.text("approximate", "none"))


def _axes(call: Call, x: Tensor, given: Tensor | None) -> list[int] | None:
    axes = call.listed(given, "axes") if given is not None else call.wholes("axes")
    if axes is None and not call.whole("noop_with_empty_axes", 0):
        return list(range(x.ndim))
    return axes


def _reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def run(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = _axes(call, x, axes)
        return x if not along else function(x, along, bool(call.whole("keepdims", 1)))

    return run


def _best(call: Call, x: Tensor) -> Tensor:
    return x.argmax(call.whole("axis", 0), keepdim=bool(call.whole("keepdims", 1)))


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(call: Call, x: Tensor) -> Tensor:
        if call.opset >= 13:
            return function(x, dim=call.whole("axis", -1))
        axis = call.whole("axis", 1) % max(1, x.ndim)
        # before opset 13 everything from the axis on is one dimension
        return function(x.flatten(axis), dim=axis).reshape(x.shape)

    return run


def _chosen(call: Call, condition: Tensor, first: Tensor, second: Tensor) -> Tensor:
    condition, first, second = together(call, condition, first, second)
    return torch.where(condition.bool(), first, second)


def _leaky(call: Call, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, call.number("alpha", 0.01))


def _sloped(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return (x * call.number("alpha", 0.2) + call.number("beta", 0.5)).clamp(0, 1)


def _remainder(call: Call, first: Tensor, second: Tensor) -> Tensor:
    function = torch.fmod if call.whole("fmod", 0) else torch.remainder
    return function(*together(call, first, second))


MATH: dict[str, Callable[..., Any]] = {
    "Abs": _each(torch.abs),
    "Add": _pairwise(torch.add),
    "And": _pairwise(torch.logical_and),
    "ArgMax": _best,
    "Cast": _cast,
    "CastLike": _cast,
    "Ceil": _each(torch.ceil),
    "Clip": _clipped,
    "Div": _pairwise(_divided),
    "Elu": lambda call, x: functional.elu(x, call.number("alpha", 1.0)),
    "Equal": _pairwise(torch.eq),
    "Erf": _each(torch.erf),
    "Exp": _each(torch.exp),
    "Floor": _each(torch.floor),
    "Gelu": _gelu,
    "Greater": _pairwise(torch.gt),
    "GreaterOrEqual": _pairwise(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _each(functional.hardswish),
    "LeakyRelu": _leaky,
    "Less": _pairwise(torch.lt),
    "LessOrEqual": _pairwise(torch.le),
    "Log": _each(torch.log),
    "LogSoftmax": _softmax(functional.log_softmax),
    "Max": _pairwise(torch.maximum),
    "Min": _pairwise(torch.minimum),
    "Mish": _each(functional.mish),
    "Mod": _remainder,
    "Mul": _pairwise(torch.mul),
    "Neg": _each(torch.neg),
    "Not": _each(torch.logical_not),
    "Or": _pairwise(torch.logical_or),
    "Pow": _powered,
    "PRelu": _sloped,
    "Reciprocal": _each(torch.reciprocal),
    "ReduceL2": _reduced(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keep)),
    "Relu": _each(functional.relu),
    "Round": _each(torch.round),
    "Sigmoid": _each(torch.sigmoid),
    "Softmax": _softmax(functional.softmax),
    "Softplus": _each(functional.softplus),
    "Sqrt": _each(torch.sqrt),
    "Sub": _pairwise(torch.sub),
    "Sum": _pairwise(torch.add),
    "Tanh": _each(torch.tanh),
    "Where": _chosen,
}
