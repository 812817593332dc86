"""Weights in the form that TensorFlow.js ships: a manifest in JSON and a file of numbers, often as bytes with a scale.

See "weights manifest" in TensorFlow.js' converter: each entry has a name, a shape, a type and perhaps a
quantisation, and the numbers of all entries follow each other in the file. Sizes are checked before anything is
made, and nothing in the file is run.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from provenance.errors import MissingModelError

_MOST_ENTRIES = 2000
_MOST_VALUES = 50_000_000
_WIDTHS = {"float32": 4, "float16": 2, "int32": 4, "uint8": 1, "uint16": 2}


def read_weights(manifest: bytes, values: bytes) -> dict[str, Tensor]:
    """Every tensor of real numbers by its name, float32, in TensorFlow's own order of axes."""
    return {
        name: tensor for name, tensor in read_tensors(manifest, values).items() if tensor.is_floating_point()
    }


def read_tensors(manifest: bytes, values: bytes) -> dict[str, Tensor]:
    """Every tensor by its name, float32 or int64, in TensorFlow's own order of axes.

    Args:
        manifest: the JSON file, one group of weights.
        values: the file the group names.

    Raises:
        MissingModelError: they do not fit together, or are none.
    """
    try:
        groups = json.loads(manifest)
        entries = [entry for group in groups for entry in group["weights"]]
        if len(entries) > _MOST_ENTRIES:
            raise ValueError(f"more than {_MOST_ENTRIES} tensors")
        tensors, place = {}, 0
        for entry in entries:
            tensors[str(entry["name"])], place = _tensor(entry, values, place)
        if place != len(values):
            raise ValueError(f"{len(values)} bytes, {place} expected")
    except (ValueError, KeyError, TypeError) as error:
        raise MissingModelError(f"the weights cannot be read: {error}") from error
    return tensors


def _tensor(entry: dict[str, Any], values: bytes, place: int) -> tuple[Tensor, int]:
    shape = [int(side) for side in entry["shape"]]
    count = math.prod(shape)
    if min(shape, default=1) < 0 or count > _MOST_VALUES:
        raise ValueError(f"a tensor of shape {shape}")
    packing = entry.get("quantization")
    kind = str(packing["dtype"] if packing else entry["dtype"])
    end = place + count * _WIDTHS[kind]
    if end > len(values):
        raise ValueError("it ends early")
    numbers = np.frombuffer(values[place:end], np.dtype(kind).newbyteorder("<"))
    if entry["dtype"] != "float32":
        return torch.from_numpy(numbers.astype(np.int64).reshape(shape)), end
    if packing and kind != "float16":
        numbers = numbers * float(packing["scale"]) + float(packing["min"])
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape)), end


def convolution(weights: Tensor) -> Tensor:
    """Filters ``(H, W, in, out)`` as torch wants them, ``(out, in, H, W)``."""
    return weights.permute(3, 2, 0, 1).contiguous()


def depthwise(weights: Tensor) -> Tensor:
    """Filters ``(H, W, channels, 1)`` as torch wants them for one group a channel, ``(channels, 1, H, W)``."""
    return weights.permute(2, 3, 0, 1).contiguous()
