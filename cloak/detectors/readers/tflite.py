"""A small reader of TFLite files: tensors, constants and operators of the first subgraph.

Follows the FlatBuffers binary format and the field numbers of TensorFlow Lite's ``schema.fbs`` (file identifier
``TFL3``). Offsets in the file are never followed outside it: each read checks its range.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from provenance.errors import MissingModelError

_MOST_ITEMS = 100_000
_TYPES: dict[int, np.dtype] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    2: np.dtype("<i4"),
    3: np.dtype("u1"),
    4: np.dtype("<i8"),
    6: np.dtype("?"),
    7: np.dtype("<i2"),
    9: np.dtype("i1"),
}
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class TensorInfo:
    """Shape in TFLite's order (batch, height, width, channels), and the value where it is a constant."""

    name: str
    shape: tuple[int, ...]
    constant: np.ndarray | None


@dataclass(frozen=True)
class Operator:
    """One operation: its builtin code, the tensors it reads (-1: none) and writes, and its options table."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True)
class Graph:
    """Operators in order of execution; inputs and outputs are indices into ``tensors``."""

    tensors: tuple[TensorInfo, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A FlatBuffers table at byte ``at``; fields are asked for by number."""

    data: bytes
    at: int

    def _field(self, number: int) -> int | None:
        """Where a field's value is, or None where it has its default."""
        vtable = self.at - self._number("<i", self.at)
        if 4 + 2 * number >= self._number("<H", vtable):
            return None
        offset = self._number("<H", vtable + 4 + 2 * number)
        return self.at + offset if offset else None

    def _number(self, kind: str, at: int) -> int:
        if at < 0:
            raise ValueError(f"an offset leads to byte {at}")
        return int(struct.unpack_from(kind, self.data, at)[0])

    def integer(self, number: int, kind: str = "<i", default: int = 0) -> int:
        """An integer field of struct type ``kind``."""
        at = self._field(number)
        return default if at is None else self._number(kind, at)

    def table(self, number: int) -> Table | None:
        """A field that is a table."""
        at = self._field(number)
        return None if at is None else Table(self.data, at + self._number("<I", at))

    def array(self, number: int, dtype: str) -> np.ndarray:
        """A field that is a vector of numbers; empty when absent."""
        at = self._field(number)
        if at is None:
            return np.zeros(0, dtype)
        start = at + self._number("<I", at)
        count = self._number("<I", start)
        if (count * np.dtype(dtype).itemsize) > len(self.data) - start - 4:
            raise ValueError(f"a vector of {count} items at byte {start} leaves the file")
        return np.frombuffer(self.data, dtype, count, start + 4)

    def text(self, number: int) -> str:
        """A field that is a string."""
        return self.array(number, "u1").tobytes().decode("utf-8", "replace")

    def tables(self, number: int, make: Callable[[Table], _Item]) -> tuple[_Item, ...]:
        """A field that is a vector of tables."""
        at = self._field(number)
        if at is None:
            return ()
        start = at + self._number("<I", at)
        count = self._number("<I", start)
        if count > _MOST_ITEMS or count * 4 > len(self.data) - start - 4:
            raise ValueError(f"a vector of {count} tables at byte {start} leaves the file")
        places = [start + 4 + 4 * item for item in range(count)]
        return tuple(make(Table(self.data, place + self._number("<I", place))) for place in places)


def read_graph(data: bytes) -> Graph:
    """The first subgraph of a TFLite file.

    Raises:
        MissingModelError: the bytes are no TFLite file this reader understands.
    """
    if data[4:8] != b"TFL3":
        raise MissingModelError(
            f"cannot read the TFLite model: found the identifier {data[4:8]!r}, expected TFL3"
        )
    try:
        return _graph(Table(data, int(struct.unpack_from("<I", data, 0)[0])))
    except (ValueError, KeyError, IndexError, struct.error, OverflowError) as error:
        raise MissingModelError(f"cannot read the TFLite model: {error}") from error


def _graph(model: Table) -> Graph:
    codes = model.tables(1, _operator_code)
    buffers = model.tables(4, lambda table: table.array(0, "u1"))
    subgraph = model.tables(2, lambda table: table)[0]
    tensors = subgraph.tables(0, lambda table: _tensor(table, buffers))
    operators = subgraph.tables(3, lambda table: _operator(table, codes))
    inputs, outputs = _indices(subgraph, 1), _indices(subgraph, 2)
    for index in (*inputs, *outputs, *(i for op in operators for i in (*op.inputs, *op.outputs))):
        if not -1 <= index < len(tensors):
            raise ValueError(f"tensor {index} of {len(tensors)} is used")
    return Graph(tensors, operators, inputs, outputs)


def _operator_code(table: Table) -> int:
    """The larger of the old one-byte field and the new one."""
    return max(table.integer(0, "<b"), table.integer(3))


def _indices(table: Table, number: int) -> tuple[int, ...]:
    return tuple(int(index) for index in table.array(number, "<i4"))


def _tensor(table: Table, buffers: tuple[np.ndarray, ...]) -> TensorInfo:
    shape = _indices(table, 0)
    dtype = _TYPES[table.integer(1, "<b")]
    content = buffers[table.integer(2, "<I")]
    if not content.size:
        return TensorInfo(table.text(3), shape, None)
    if content.size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {table.text(3)!r} of shape {shape} has {content.size} bytes")
    return TensorInfo(table.text(3), shape, np.frombuffer(content.tobytes(), dtype).reshape(shape))


def _operator(table: Table, codes: tuple[int, ...]) -> Operator:
    return Operator(codes[table.integer(0, "<I")], _indices(table, 1), _indices(table, 2), table.table(4))
