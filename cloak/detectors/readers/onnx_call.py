"""What the operations of an ONNX graph are given besides their tensors, and the limits they keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.readers.onnx import Attribute
from provenance.errors import MissingModelError

#: No tensor that a graph makes has more values (512 MiB of float32).
MOST_VALUES = 1 << 27


@dataclass(frozen=True)
class Call:
    """One operation of a graph.

    Attributes:
        operation: its name.
        attributes: as the file has them.
        opset: the version of the operators that the file follows.
        outputs: how many results are wanted.
        dtype, device: of the picture: every floating-point type of the file is computed with in this one.
    """

    operation: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def number(self, name: str, default: float) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.refused(f"the attribute {name} is {value!r}, expected a number")
        return value

    def whole(self, name: str, default: int) -> int:
        return int(self.number(name, default))

    def wholes(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        """A list of integers, or ``default`` where the file gives none."""
        value = self.attributes.get(name)
        if value is None:
            return None if default is None else list(default)
        if not isinstance(value, list):
            raise self.refused(f"the attribute {name} is {value!r}, expected a list")
        return [int(item) for item in value]

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.refused(f"the attribute {name} is {value!r}, expected a word")
        return value

    def refused(self, why: str) -> MissingModelError:
        """The error to raise for something this operation cannot do."""
        return MissingModelError(f"the ONNX operation {self.operation}: {why}")

    def bounded(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape, if a tensor of it may be made.

        Raises:
            MissingModelError: it has a negative side or more than :data:`MOST_VALUES` values.
        """
        if any(side < 0 for side in shape) or math.prod(shape) > MOST_VALUES:
            raise self.refused(f"a result of the shape {list(shape)[:8]} is not allowed")
        return tuple(int(side) for side in shape)

    def listed(self, tensor: Tensor | None, name: str) -> list[int]:
        """A small tensor of whole numbers as a list."""
        if tensor is None or tensor.ndim > 1 or tensor.numel() > 64:
            raise self.refused(f"{name} is missing, or no short list")
        return [int(item) for item in tensor.reshape(-1).tolist()]


def as_tensor(array: np.ndarray) -> Tensor:
    """A constant of the file: floating-point types as float32, others as they are."""
    kind = np.float32 if array.dtype.kind == "f" else array.dtype
    return torch.from_numpy(np.array(array, dtype=kind))


def broadcast(call: Call, *shapes: Sequence[int]) -> list[int]:
    """The shape that tensors of these shapes have together.

    Raises:
        MissingModelError: they do not fit.
    """
    result: list[int] = []
    for at in range(1, max(len(shape) for shape in shapes) + 1):
        sides = {shape[-at] for shape in shapes if len(shape) >= at} - {1}
        if len(sides) > 1:
            raise call.refused(f"the shapes {[list(shape) for shape in shapes]} do not fit")
        result.insert(0, sides.pop() if sides else 1)
    return result
