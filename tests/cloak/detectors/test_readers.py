"""The ONNX and TFLite readers: against the onnx package, and on damaged files."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak import models
from cloak.detectors.readers import onnx as onnx_reader
from cloak.detectors.readers import tflite as tflite_reader
from cloak.detectors.readers.onnx_graph import OnnxModule
from cloak.detectors.readers.tflite_graph import TfliteModule
from provenance.errors import MissingModelError

ROUNDS = 150


def content(name: str) -> bytes:
    if models.locate(models.model(name)) is None:
        pytest.skip(f"the weights {name} are not installed: see weights.txt")
    return models.read(name)


def test_onnx_reader_agrees_with_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    data = content("centerface")
    graph = onnx_reader.read_graph(data)
    expected = onnx.load_from_string(data).graph
    assert [node.operation for node in graph.nodes] == [node.op_type for node in expected.node]
    for node, other in zip(graph.nodes, expected.node, strict=True):
        assert node.inputs == tuple(other.input) and node.outputs == tuple(other.output)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in other.attribute}
        assert node.attributes == attributes
    assert graph.outputs == tuple(output.name for output in expected.output)
    for tensor in expected.initializer:
        assert np.array_equal(graph.constants[tensor.name], onnx.numpy_helper.to_array(tensor))


def test_onnx_operations_on_a_small_graph() -> None:
    """A strided convolution with lopsided padding, normalised, and a transposed one: by torch's own layers."""
    onnx = pytest.importorskip("onnx")
    generator = torch.Generator().manual_seed(0)
    weight, back = torch.randn(4, 3, 3, 3, generator=generator), torch.randn(4, 2, 2, 2, generator=generator)
    scale, shift, mean = (torch.randn(4, generator=generator) for _ in range(3))
    variance = torch.rand(4, generator=generator) + 0.5
    values = {"w": weight, "s": scale, "b": shift, "m": mean, "v": variance, "t": back}
    make = onnx.helper.make_node
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            make("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[0, 1, 1, 0], kernel_shape=[3, 3]),
            make("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], epsilon=1e-3),
            make("Relu", ["n"], ["r"]),
            make("ConvTranspose", ["r", "t"], ["u"], strides=[2, 2], kernel_shape=[2, 2]),
            make("Sigmoid", ["u"], ["y"]),
        ],
        "small",
        [onnx.helper.make_tensor_value_info("x", floats, None)],
        [onnx.helper.make_tensor_value_info("y", floats, None)],
        [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in values.items()],
    )
    module = OnnxModule(onnx_reader.read_graph(onnx.helper.make_model(graph).SerializeToString()))
    assert len(module.nodes) == 4, "the normalisation became part of the convolution"
    x = torch.randn(2, 3, 11, 16, generator=generator)
    padded = torch.nn.functional.pad(x, (1, 0, 0, 1))
    c = torch.nn.functional.conv2d(padded, weight, stride=2)
    n = torch.nn.functional.batch_norm(c, mean, variance, scale, shift, eps=1e-3)
    y = torch.sigmoid(torch.nn.functional.conv_transpose2d(n.relu(), back, stride=2))
    assert torch.allclose(module(x)[0], y, atol=1e-5)


def test_unknown_operation_is_refused() -> None:
    graph = onnx_reader.Graph((onnx_reader.Node("Loop", ("x",), ("y",), {}),), {}, ("x",), ("y",))
    with pytest.raises(MissingModelError, match="Loop is not supported"):
        OnnxModule(graph)


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model at all", b"\xff" * 64, b"\x3a\x05abc"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MissingModelError):
        onnx_reader.read_graph(data)
    with pytest.raises(MissingModelError):
        tflite_reader.read_graph(data)


def test_tflite_offsets_never_leave_the_file() -> None:
    for offset in (0, 5, 12, 1 << 20, 0xFFFFFFFF):
        with pytest.raises(MissingModelError):
            tflite_reader.read_graph(struct.pack("<I", offset) + b"TFL3" + bytes(8))


@pytest.mark.parametrize("name", ["centerface", "blazeface-short", "iris"])
def test_damaged_files_give_one_kind_of_error(name: str) -> None:
    """Cut anywhere, or with a few bytes of the structure changed: read, or MissingModelError, nothing else."""
    data = content(name)
    read = onnx_reader.read_graph if name == "centerface" else tflite_reader.read_graph
    choose = random.Random(7)
    refused = 0
    for round_number in range(ROUNDS):
        if round_number % 3 == 0:
            damaged = bytearray(data[: choose.randrange(len(data))])
        else:
            damaged = bytearray(data)
            start = 0 if choose.random() < 0.5 else max(0, len(data) - 30_000)
            for _ in range(choose.randrange(1, 30)):
                damaged[start + choose.randrange(min(30_000, len(data) - start))] = choose.randrange(256)
        try:
            read(bytes(damaged))
        except MissingModelError:
            refused += 1
    assert refused >= ROUNDS // 3 - 1


def test_tflite_graph_wants_its_own_size() -> None:
    module = TfliteModule(tflite_reader.read_graph(content("blazeface-short")))
    boxes, scores = module(torch.zeros(3, 3, 128, 128))
    assert boxes.shape == (3, 896, 16) and scores.shape == (3, 896, 1)
    with pytest.raises(RuntimeError):
        module(torch.zeros(1, 3, 96, 96))


def test_same_padding_puts_the_odd_pixel_at_the_end(tmp_path: Path) -> None:
    """TFLite pads 128 by (0, 1) for a 3 x 3 window and a stride of 2; symmetric padding would differ."""
    from cloak.detectors.readers.tflite_graph import _same

    padded = _same(torch.ones(1, 1, 128, 127), (3, 3), (2, 2))
    assert padded.shape == (1, 1, 129, 129)
    assert padded[0, 0, 0, 0] == 0 and padded[0, 0, 0, 1] == 1 and padded[0, 0, -1, 1] == 0
