"""ONNX operations that move values about, and those that compute with shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors.readers.onnx_call import Call, as_tensor, broadcast


def _shape(call: Call, x: Tensor) -> Tensor:
    start, end = call.whole("start", 0), call.attributes.get("end")
    sides = list(x.shape)[start : end if isinstance(end, int) else None]
    return torch.tensor(sides, dtype=torch.int64)


def _gathered(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.whole("axis", 0) % max(1, x.ndim)
    index = index.long().to(x.device)
    call.bounded([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    side = x.shape[axis]
    if index.numel() and not -side <= int(index.min()) <= int(index.max()) < side:
        raise call.refused(f"an index beyond a side of {side}")
    rows = torch.where(index < 0, index + side, index)
    chosen = x.index_select(axis, rows.reshape(-1))
    return chosen.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def _gathered_elements(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.whole("axis", 0) % max(1, x.ndim)
    index = index.long().to(x.device)
    if index.numel() and not -x.shape[axis] <= int(index.min()) <= int(index.max()) < x.shape[axis]:
        raise call.refused(f"an index beyond a side of {x.shape[axis]}")
    return x.gather(axis, torch.where(index < 0, index + x.shape[axis], index))


def _sliced(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    if inputs:
        starts, ends, axes, steps = (
            None if one is None else call.listed(one, "a bound")
            for one in (*inputs, None, None, None, None)[:4]
        )
    else:
        starts, ends, axes, steps = call.wholes("starts"), call.wholes("ends"), call.wholes("axes"), None
    if starts is None or ends is None or len(starts) != len(ends):
        raise call.refused("bounds are missing")
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -x.ndim <= axis < x.ndim or step == 0:
            raise call.refused(f"axis {axis} with a step of {step}")
        if step == 1:
            at, stop, _ = slice(start, end).indices(x.shape[axis])
            x = x.narrow(axis, at, max(0, stop - at))
            continue
        chosen = list(range(*_bounds(start, end, step, x.shape[axis])))
        x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64, device=x.device))
    return x


def _bounds(start: int, end: int, step: int, side: int) -> tuple[int, int, int]:
    """As ONNX counts: an end far below zero with a negative step means "to the first"."""
    if step < 0 and end < -side:
        return slice(start, None, step).indices(side)
    return slice(start, end, step).indices(side)


def _split(call: Call, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = call.whole("axis", 0)
    side = x.shape[axis]
    parts = call.listed(sizes, "split") if sizes is not None else call.wholes("split")
    if parts is None:
        each = math.ceil(side / call.outputs)
        parts = [min(each, side - each * number) for number in range(call.outputs)]
    if sum(parts) != side or min(parts) < 0 or len(parts) != call.outputs:
        raise call.refused(f"parts of {parts[:8]} for a side of {side}")
    return torch.split_with_sizes(x, parts, axis)


def _joined(call: Call, *parts: Tensor) -> Tensor:
    axis = call.whole("axis", 0)
    device = next((one.device for one in parts if one.device.type != "cpu"), parts[0].device)
    shapes = [list(one.shape) for one in parts]
    call.bounded([*shapes[0][: axis % len(shapes[0])], sum(shape[axis] for shape in shapes)])
    return torch.cat([one.to(device) for one in parts], axis)


def _reshaped(call: Call, x: Tensor, shape: Tensor | None = None) -> Tensor:
    target = call.listed(shape, "the shape") if shape is not None else call.wholes("shape") or []
    if not call.whole("allowzero", 0):
        target = [x.shape[at] if side == 0 and at < x.ndim else side for at, side in enumerate(target)]
    return x.reshape(target)


def _flattened(call: Call, x: Tensor) -> Tensor:
    axis = call.whole("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _squeezed(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = call.listed(axes, "axes") if axes is not None else call.wholes("axes")
    if chosen is None:
        return x.squeeze()
    return x.squeeze(tuple(chosen))


def _unsqueezed(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = call.listed(axes, "axes") if axes is not None else call.wholes("axes") or []
    total = x.ndim + len(chosen)
    for axis in sorted(axis % total for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _expanded(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = call.listed(shape, "the shape")
    return x.expand(call.bounded(broadcast(call, list(x.shape), wanted)))


def _tiled(call: Call, x: Tensor, repeats: Tensor) -> Tensor:
    times = call.listed(repeats, "repeats")
    call.bounded([side * count for side, count in zip(x.shape, times, strict=True)])
    return x.repeat(times)


def _constant(call: Call) -> Tensor:
    value = next(iter(call.attributes.values()), 0)
    if isinstance(value, str):
        raise call.refused("words are not supported")
    if isinstance(value, int | float | list):
        kind = torch.int64 if _all_whole(value) else torch.float32
        return torch.tensor(value, dtype=kind)
    return as_tensor(value)


def _all_whole(value: int | float | Sequence[int | float]) -> bool:
    return all(isinstance(one, int) for one in value) if isinstance(value, list) else isinstance(value, int)


def _filled(call: Call, shape: Tensor) -> Tensor:
    value = call.attributes.get("value")
    fill = torch.zeros(1) if value is None or not hasattr(value, "shape") else as_tensor(value)  # type: ignore[arg-type]
    size = call.bounded(call.listed(shape, "the shape"))
    if fill.is_floating_point():
        return torch.full(size, float(fill.reshape(-1)[0]), dtype=call.dtype)
    return torch.full(size, fill.reshape(-1)[0].item(), dtype=fill.dtype)


def _range(call: Call, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    if not float(step):
        raise call.refused("a step of zero")
    call.bounded([max(0, math.ceil((float(limit) - float(start)) / float(step)))])
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _padded(
    call: Call, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    around = call.listed(pads, "pads") if pads is not None else call.wholes("pads") or []
    chosen = call.listed(axes, "axes") if axes is not None else list(range(x.ndim))
    if len(around) != 2 * len(chosen):
        raise call.refused(f"{len(around)} borders for {len(chosen)} axes")
    borders = [0] * (2 * x.ndim)
    for number, axis in enumerate(chosen):
        at = 2 * (x.ndim - 1 - axis % x.ndim)
        borders[at], borders[at + 1] = around[number], around[len(chosen) + number]
    sides = [
        side + borders[2 * (x.ndim - 1 - at)] + borders[2 * (x.ndim - 1 - at) + 1]
        for at, side in enumerate(x.shape)
    ]
    call.bounded(sides)
    fill = float(value) if value is not None and value.numel() else call.number("value", 0.0)
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        call.text("mode", "constant")
    )
    if mode is None:
        raise call.refused("this way of padding is not supported")
    if mode != "constant":
        if any(borders[4:]):
            raise call.refused("only rows and columns can be mirrored or repeated")
        return functional.pad(x, borders[:4], mode=mode)
    return functional.pad(x, borders, value=fill)


def _depth_to_space(call: Call, x: Tensor) -> Tensor:
    side = call.whole("blocksize", 1)
    count, channels, rows, columns = x.shape
    if call.text("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, side)
    x = x.reshape(count, side, side, channels // side**2, rows, columns)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(count, channels // side**2, rows * side, columns * side)


def _space_to_depth(call: Call, x: Tensor) -> Tensor:
    side = call.whole("blocksize", 1)
    count, channels, rows, columns = x.shape
    x = x.reshape(count, channels, rows // side, side, columns // side, side)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(count, channels * side**2, rows // side, columns // side)


def _scattered(call: Call, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    if call.text("reduction", "none") != "none":
        raise call.refused("only replacing is supported")
    index = index.long().to(x.device)
    place = tuple(index[..., at] for at in range(index.shape[-1]))
    return x.index_put(place, updates.to(x))


def _transposed(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.wholes("perm", list(reversed(range(x.ndim)))) or [])


SHAPES: dict[str, Callable[..., Any]] = {
    "Concat": _joined,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "DepthToSpace": _depth_to_space,
    "Dropout": lambda call, x, *ignored: x,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "GatherElements": _gathered_elements,
    "Identity": lambda call, x: x,
    "Pad": _padded,
    "Range": _range,
    "Reshape": _reshaped,
    "ScatterND": _scattered,
    "Shape": _shape,
    "Size": lambda call, x: torch.tensor(x.numel()),
    "Slice": _sliced,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": _tiled,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
