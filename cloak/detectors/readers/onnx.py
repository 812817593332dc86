"""A small reader of ONNX files: the graph, its attributes and its constants, and nothing else.

Follows the protocol buffers wire format (varints, tags, length-delimited fields) and the field numbers of
``onnx.proto`` (opset 9 and later). Every length is checked against what is left of the file, and every tensor
against the bytes that hold it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from provenance.errors import MissingModelError

_MOST_BYTES = 512 << 20
_MOST_NODES = 10_000
_MOST_TENSORS = 20_000
_MOST_DIMENSIONS = 8
_OLDEST, _NEWEST = 7, 28
_HALF, _BRAIN, _EXTERNAL = 10, 16, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPES: dict[int, np.dtype] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    5: np.dtype("<i2"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
    16: np.dtype("<u2"),
}

_STANDARD = ("", "ai.onnx")

Attribute = float | int | str | np.ndarray | list[int] | list[float]


@dataclass(frozen=True)
class Node:
    """One operation: ``outputs = operation(inputs, **attributes)``; a missing optional input is ""."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Graph:
    """Nodes in order of execution, constants by name, and the names of what goes in and comes out.

    Attributes:
        shapes: by input, its declared sides; None where a side is free.
        opset: the version of the operators that the nodes follow.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    opset: int = 11


def read_graph(data: bytes) -> Graph:
    """The graph of an ONNX file.

    Raises:
        MissingModelError: the bytes are no ONNX file this reader understands.
    """
    if len(data) > _MOST_BYTES:
        raise MissingModelError(
            f"the ONNX model has {len(data) >> 20} MiB, at most {_MOST_BYTES >> 20} are read"
        )
    try:
        graph, opset = None, 0
        for number, value in _fields(memoryview(data)):
            if number == 7 and isinstance(value, memoryview):
                graph = value
            elif number == 8:
                opset = max(opset, _operators(_message(value)))
        if graph is None:
            raise ValueError("found no graph in it")
        if opset and not _OLDEST <= opset <= _NEWEST:
            raise ValueError(f"its operators are of version {opset}, expected {_OLDEST} to {_NEWEST}")
        return _graph(graph, opset or 11)
    except (ValueError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise MissingModelError(f"cannot read the ONNX model: {error}") from error


def _operators(data: memoryview) -> int:
    """The version of the standard operators; 0 for operators of somebody else."""
    domain, version = "", 0
    for number, value in _fields(data):
        if number == 1:
            domain = _text(value)
        elif number == 2:
            version = _integer(value)
    return version if domain in _STANDARD else 0


def _graph(data: memoryview, opset: int) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    shapes: dict[str, tuple[int | None, ...]] = {}
    for number, value in _fields(data):
        if number == 1:
            nodes.append(_node(_message(value)))
            if len(nodes) > _MOST_NODES:
                raise ValueError(f"more than {_MOST_NODES} nodes")
        elif number == 5:
            name, array = _tensor(_message(value))
            constants[name] = array
            if len(constants) > _MOST_TENSORS:
                raise ValueError(f"more than {_MOST_TENSORS} tensors")
        elif number in (11, 12):
            name, shape = _declared(_message(value))
            (inputs if number == 11 else outputs).append(name)
            if number == 11:
                shapes[name] = shape
        elif number == 15:
            raise ValueError("sparse weights are not supported")
    given = tuple(name for name in inputs if name not in constants)
    return Graph(
        tuple(nodes), constants, given, tuple(outputs), {name: shapes[name] for name in given}, opset
    )


def _declared(data: memoryview) -> tuple[str, tuple[int | None, ...]]:
    """Name and sides of an input or output; a side that has a name, or none, is free."""
    name, sides = "", []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for side in _path(_message(value), 1, 2, 1):
                length = next((_integer(v) for n, v in _fields(side) if n == 1), 0)
                sides.append(length if length > 0 else None)
    if len(sides) > _MOST_DIMENSIONS:
        raise ValueError(f"{name!r} has {len(sides)} dimensions")
    return name, tuple(sides)


def _path(data: memoryview, *numbers: int) -> Iterator[memoryview]:
    """The messages at the end of a path of field numbers."""
    for number, value in _fields(data):
        if number == numbers[0] and isinstance(value, memoryview):
            if len(numbers) == 1:
                yield value
            else:
                yield from _path(value, *numbers[1:])


def _node(data: memoryview) -> Node:
    operation, domain = "", ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    for number, value in _fields(data):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            operation = _text(value)
        elif number == 5:
            name, attribute = _attribute(_message(value))
            attributes[name] = attribute
        elif number == 7 and _text(value) not in _STANDARD:
            domain = f"{_text(value)}."
    return Node(domain + operation, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: memoryview) -> tuple[str, Attribute]:
    name = ""
    result: Attribute = 0
    integers: list[int] = []
    floats: list[float] = []
    kind = 0
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 20:
            kind = _integer(value)
        elif number in (6, 10, 11):
            result = "graph"  # of If, Loop or Scan, which no one here runs
        elif number == 2:
            result = struct.unpack("<f", _message(value))[0]
        elif number == 3:
            result = _integer(value)
        elif number == 4:
            result = bytes(_message(value)).decode("utf-8", "replace")
        elif number == 5:
            result = _tensor(_message(value))[1]
        elif number == 7:
            floats.extend(_floats(_message(value)))
        elif number == 8:
            integers.extend(_integers(value))
    if integers or kind == 7:
        return name, integers
    return name, floats or (result if kind != 6 else [])


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    name = ""
    shape: list[int] = []
    kind = 1
    raw: bytes | None = None
    listed: list[float] | list[int] = []
    for number, value in _fields(data):
        if number == 1:
            shape.extend(_integers(value))
        elif number == 2:
            kind = _integer(value)
        elif number == 4:
            listed += _floats(_message(value))
        elif number in (5, 7, 11):
            listed += _integers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = bytes(_message(value))
        elif number == 10:
            listed += [one for (one,) in struct.iter_unpack("<d", _message(value))]
        elif number == 13 or (number == 14 and value == _EXTERNAL):
            raise ValueError(
                "its weights lie in a second file (external data); save the model as one file, "
                "for example with onnx.save(onnx.load(FILE), OTHER)"
            )
    if len(shape) > _MOST_DIMENSIONS or any(side < 0 for side in shape):
        raise ValueError(f"tensor {name!r} has the shape {shape}")
    if kind not in _TYPES:
        raise ValueError(f"tensor {name!r} has the type {kind}, which is not supported")
    array = _values(kind, raw, listed)
    if array.size != math.prod(shape):
        raise ValueError(f"tensor {name!r} of shape {shape} has {array.size} values")
    return name, array.reshape(shape)


def _values(kind: int, raw: bytes | None, listed: list[float] | list[int]) -> np.ndarray:
    """A tensor's values. Floats of 16 bits are listed as the integers with the same bits; those that keep float32's
    exponent (bfloat16) become float32.
    """
    dtype = _TYPES[kind]
    if raw is not None:
        array = np.frombuffer(raw, dtype)
    elif kind in (_HALF, _BRAIN):
        array = np.array(listed, np.uint16).view(dtype)
    else:
        array = np.array(listed, dtype)
    return (array.astype(np.uint32) << 16).view(np.float32) if kind == _BRAIN else array


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a message: integers for varints, bytes for all else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = _varint(data, at)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {kind} at byte {at}")
        if length > len(data) - at:
            raise ValueError(f"a field of {length} bytes at byte {at}, where {len(data) - at} are left")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("the file ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("found a number where a message was expected")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("found bytes where a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _integers(value: int | memoryview) -> list[int]:
    """A repeated integer field, one value or packed."""
    if isinstance(value, int):
        return [_integer(value)]
    result = []
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        result.append(_integer(number))
    return result


def _floats(value: memoryview) -> list[float]:
    """A repeated float field, one value or packed."""
    return [number for (number,) in struct.iter_unpack("<f", value)]
