"""ONNX operations that a network's layers are: convolution, pooling, normalisation, resizing, products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors.readers.onnx_call import Call

_MOST_PADDING = 4096
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}


def _pads(call: Call, x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """Padding as ONNX lists it: all beginnings, then all ends."""
    count, mode = len(kernel), call.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        pads = call.wholes("pads", [0] * 2 * count) or []
        if len(pads) != 2 * count or any(abs(pad) > _MOST_PADDING for pad in pads):
            raise call.refused(f"padding of {pads[:8]}")
        return pads
    if mode == "VALID":
        return [0] * 2 * count
    before, after = [], []
    for side, length, stride, gap in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(side / stride) - 1) * stride + (length - 1) * gap + 1 - side)
        small, large = total // 2, total - total // 2
        before.append(large if mode == "SAME_LOWER" else small)
        after.append(small if mode == "SAME_LOWER" else large)
    return before + after


def _padded(x: Tensor, pads: list[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Padding as torch wants it: symmetric inside the operation, else before it."""
    count = len(pads) // 2
    if pads[:count] == pads[count:] and value == 0.0 and min(pads, default=0) >= 0:
        return x, pads[:count]
    around = [pad for axis in reversed(range(count)) for pad in (pads[axis], pads[count + axis])]
    return functional.pad(x, around, value=value), [0] * count


def _spaced(call: Call, count: int) -> tuple[list[int], list[int]]:
    strides, dilations = (call.wholes(name, [1] * count) or [] for name in ("strides", "dilations"))
    if len(strides) != count or len(dilations) != count or min(*strides, *dilations) < 1:
        raise call.refused("strides or dilations do not fit the kernel")
    return strides, dilations


def _convolve(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = weight.ndim - 2
    if count not in _CONVOLUTIONS or x.ndim != weight.ndim:
        raise call.refused(f"a weight of the shape {list(weight.shape)} for {list(x.shape)}")
    strides, dilations = _spaced(call, count)
    x, padding = _padded(x, _pads(call, x, list(weight.shape[2:]), strides, dilations))
    spaced = [(side + 2 * pad) // step for side, pad, step in zip(x.shape[2:], padding, strides, strict=True)]
    call.bounded([len(x), len(weight), *spaced])
    return _CONVOLUTIONS[count](x, weight, bias, strides, padding, dilations, call.whole("group", 1))


def _transposed(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = weight.ndim - 2
    if count not in _TRANSPOSED or x.ndim != weight.ndim:
        raise call.refused(f"a weight of the shape {list(weight.shape)} for {list(x.shape)}")
    strides, dilations = _spaced(call, count)
    if call.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or call.wholes("output_shape"):
        raise call.refused("automatic padding is not supported")
    pads = _pads(call, x, list(weight.shape[2:]), strides, dilations)
    more = call.wholes("output_padding", [0] * count) or []
    if pads[:count] != pads[count:] or any(step > 16 for step in strides):
        raise call.refused("padding that differs from side to side, or long strides, are not supported")
    group = call.whole("group", 1)
    grown = [
        (side + 1) * step + size
        for side, step, size in zip(x.shape[2:], strides, weight.shape[2:], strict=True)
    ]
    call.bounded([len(x), weight.shape[1] * group, *grown])
    return _TRANSPOSED[count](x, weight, bias, strides, pads[:count], more, group, dilations)


def _largest(call: Call, x: Tensor) -> Tensor:
    kernel = call.wholes("kernel_shape") or []
    if len(kernel) != 2 or x.ndim != 4 or call.outputs != 1:
        raise call.refused("only the largest of two-dimensional windows is supported")
    strides, dilations = _spaced(call, 2)
    pads = _pads(call, x, kernel, strides, dilations)
    ceil = bool(call.whole("ceil_mode", 0))
    x, padding = _padded(x, pads, -math.inf if pads[:2] != pads[2:] else 0.0)
    if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
        x = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=-math.inf)
        padding = [0, 0]
    return functional.max_pool2d(x, kernel, strides, padding, dilations, ceil)


def _averaged(call: Call, x: Tensor) -> Tensor:
    kernel = call.wholes("kernel_shape") or []
    if len(kernel) != 2 or x.ndim != 4:
        raise call.refused("only averages of two-dimensional windows are supported")
    strides, dilations = _spaced(call, 2)
    if dilations != [1, 1]:
        raise call.refused("windows with gaps are not supported")
    pads = _pads(call, x, kernel, strides, dilations)
    if pads[:2] != pads[2:]:
        raise call.refused("padding that differs from side to side is not supported")
    counted = bool(call.whole("count_include_pad", 0))
    return functional.avg_pool2d(x, kernel, strides, pads[:2], bool(call.whole("ceil_mode", 0)), counted)


def _normalized(
    call: Call, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    epsilon = call.number("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, shift, training=False, eps=epsilon)


def _instance(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=shift, eps=call.number("epsilon", 1e-5))


def _product(call: Call, first: Tensor, second: Tensor) -> Tensor:
    call.bounded([*first.shape[:-1], second.shape[-1]])
    return first @ second


def _gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if call.whole("transA", 0) else a
    b = b.T if call.whole("transB", 0) else b
    call.bounded([a.shape[0], b.shape[1]])
    result = call.number("alpha", 1.0) * (a @ b)
    return result if c is None else result + call.number("beta", 1.0) * c


def _resized(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    """Nearest and linear, in every way that ONNX places pixels. Inputs: scales (opset 10 and Upsample), or region,
    scales, sizes.
    """
    if call.operation == "Upsample" or call.opset < 11:
        scales, sizes = inputs[0] if inputs else None, None
        place = "asymmetric"
    else:
        scales, sizes = (*inputs, None, None, None)[1:3]
        place = call.text("coordinate_transformation_mode", "half_pixel")
    mode, rounding = call.text("mode", "nearest"), call.text("nearest_mode", "round_prefer_floor")
    if call.operation == "Upsample" or call.opset < 11:
        rounding = "floor"
    if mode not in ("nearest", "linear") or place == "tf_crop_and_resize" or call.whole("antialias", 0):
        raise call.refused(f"the mode {mode} with {place} is not supported")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refused("only stretching is supported")
    if sizes is not None and sizes.numel():
        size = call.listed(sizes, "sizes")
        factors = [new / max(1, old) for new, old in zip(size, _along(call, x, len(size)), strict=True)]
    else:
        factors = [float(item) for item in scales.tolist()] if scales is not None and scales.ndim == 1 else []
        factors = factors or [float(item) for item in call.attributes.get("scales", [])]  # type: ignore[union-attr]
        size = [
            math.floor(old * factor)
            for old, factor in zip(_along(call, x, len(factors)), factors, strict=True)
        ]
    axes = (
        [axis % x.ndim for axis in call.wholes("axes") or range(x.ndim)]
        if call.opset >= 18
        else list(range(x.ndim))
    )
    if len(axes) != len(size) or any(side < 1 for side in size):
        raise call.refused(f"a size of {size[:8]} for a picture of {list(x.shape)}")
    target = list(x.shape)
    for axis, side in zip(axes, size, strict=True):
        target[axis] = side
    call.bounded(target)
    changed = {
        axis: factor for axis, factor in zip(axes, factors, strict=True) if target[axis] != x.shape[axis]
    }
    if not changed:
        return x
    if (
        x.ndim == 4
        and set(changed) <= {2, 3}
        and (quick := _quick(x, target, mode, place, rounding)) is not None
    ):
        return quick
    for axis, factor in changed.items():
        x = _resampled(call, x, axis, target[axis], factor, mode, place, rounding)
    return x


def _along(call: Call, x: Tensor, count: int) -> list[int]:
    axes = call.wholes("axes") if call.opset >= 18 else None
    sides = [x.shape[axis] for axis in axes] if axes else list(x.shape)
    if len(sides) != count:
        raise call.refused(f"{count} factors for a picture of {list(x.shape)}")
    return sides


def _quick(x: Tensor, target: list[int], mode: str, place: str, rounding: str) -> Tensor | None:
    """What torch does itself: whole-number enlargement, and linear between the centres of pixels."""
    size = target[2:]
    whole = all(new % old == 0 for new, old in zip(size, x.shape[2:], strict=True))
    if (
        mode == "nearest"
        and whole
        and (place, rounding) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
    ):
        return functional.interpolate(x, size=size, mode="nearest")
    if mode == "linear" and whole and place in ("half_pixel", "pytorch_half_pixel"):
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return None


def _resampled(
    call: Call, x: Tensor, axis: int, length: int, factor: float, mode: str, place: str, rounding: str
) -> Tensor:
    near, far, share = _places(x.shape[axis], length, factor, place, rounding if mode == "nearest" else "")
    first = x.index_select(axis, near.to(x.device))
    if mode == "nearest":
        return first
    second = x.index_select(axis, far.to(x.device))
    weight = share.to(x).reshape([-1 if at == axis else 1 for at in range(x.ndim)])
    return first + (second - first) * weight


@lru_cache(maxsize=64)
def _places(old: int, new: int, factor: float, place: str, rounding: str) -> tuple[Tensor, Tensor, Tensor]:
    """For each new pixel both old neighbours and the share of the second; rounded to the first where ``rounding`` says
    how.
    """
    at = torch.arange(new, dtype=torch.float32)  # as ONNX Runtime does, which decides what is a tie
    if place == "asymmetric":
        where = at / factor
    elif place == "align_corners":
        where = at * (old - 1) / (new - 1) if new > 1 else at * 0
    elif place == "tf_half_pixel_for_nn":
        where = (at + 0.5) / factor
    elif place == "pytorch_half_pixel" and new == 1:
        where = at * 0
    else:
        where = (at + 0.5) / factor - 0.5
    if rounding:
        half = {"floor": 0.0, "ceil": 0.0, "round_prefer_ceil": 0.5}.get(rounding, -0.5)
        up = rounding in ("ceil", "round_prefer_floor")
        rounded = torch.ceil(where + half) if up else torch.floor(where + half)
        chosen = rounded.clamp(0, old - 1).long()
        return chosen, chosen, torch.zeros(new)
    where = where.clamp(0, old - 1)
    near = where.floor()
    return near.long(), (near + 1).clamp(max=old - 1).long(), (where - near).float()


LAYERS: dict[str, Callable[..., Any]] = {
    "AveragePool": _averaged,
    "BatchNormalization": _normalized,
    "Conv": _convolve,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda call, x: x.mean(list(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda call, x: x.amax(list(range(2, x.ndim)), keepdim=True),
    "InstanceNormalization": _instance,
    "MatMul": _product,
    "MaxPool": _largest,
    "Resize": _resized,
    "Upsample": _resized,
}
