"""TensorFlow.js graphs: each operator against numbers worked out by hand, broken files, and gradients."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch

from cloak.detectors.readers.tfjs_graph import TfjsGraph
from provenance.errors import MissingModelError


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def graph(nodes: list[dict[str, Any]], constants: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """A graph and its weights in TensorFlow.js' own form."""
    entries, values = [], b""
    for name, array in constants.items():
        kind = "int32" if array.dtype.kind == "i" else "float32"
        entries.append({"name": name, "shape": list(array.shape), "dtype": kind})
        values += array.astype("<i4" if kind == "int32" else "<f4").tobytes()
    every = [
        {"name": "x", "op": "Placeholder"},
        *({"name": name, "op": "Const"} for name in constants),
        *nodes,
    ]
    content = {"modelTopology": {"node": every}, "weightsManifest": [{"paths": ["w"], "weights": entries}]}
    return json.dumps(content).encode(), values


def convolution(op: str, padding: str, stride: int, **more: Any) -> dict[str, Any]:
    attributes = {
        "padding": {"s": text(padding)},
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "data_format": {"s": text("NHWC")},
        **more,
    }
    return {"name": "y", "op": op, "input": ["x", "w"], "attr": attributes}


@pytest.mark.parametrize(("size", "stride"), [(5, 1), (5, 2), (6, 2), (7, 3)])
def test_same_padding_is_tensorflow_s(size: int, stride: int) -> None:
    """The output has ceil(size / stride) sides, and what is padded is split with the larger part at the end."""
    model, values = graph([convolution("Conv2D", "SAME", stride)], {"w": np.ones((3, 3, 1, 1), np.float32)})
    x = torch.arange(size * size, dtype=torch.float32).view(1, size, size, 1)
    y = TfjsGraph(model, values, "y")(x)[0, :, :, 0].numpy()
    sides = -(-size // stride)
    total = max((sides - 1) * stride + 3 - size, 0)
    padded = np.pad(x[0, :, :, 0].numpy(), (total // 2, total - total // 2))
    wanted = [
        [padded[r * stride : r * stride + 3, c * stride : c * stride + 3].sum() for c in range(sides)]
        for r in range(sides)
    ]
    assert np.allclose(y, wanted)


def test_a_depthwise_filter_sees_its_own_channel() -> None:
    weights = np.zeros((1, 1, 2, 1), np.float32)
    weights[0, 0, :, 0] = (2, -3)
    model, values = graph([convolution("DepthwiseConv2dNative", "VALID", 1)], {"w": weights})
    x = torch.tensor([[[[1.0, 10.0]]]])
    assert TfjsGraph(model, values, "y")(x).flatten().tolist() == [2.0, -30.0]


def test_fused_bias_and_activation_come_in_their_order() -> None:
    fused = {"fused_ops": {"list": {"s": [text("BiasAdd"), text("Relu")]}}}
    node = convolution("_FusedConv2D", "VALID", 1, **fused)
    node["input"].append("b")
    model, values = graph(
        [node], {"w": np.full((1, 1, 1, 1), 2, np.float32), "b": np.array([-3], np.float32)}
    )
    x = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    assert TfjsGraph(model, values, "y")(x).flatten().tolist() == [0.0, 1.0]


def test_gradients_reach_the_picture() -> None:
    model, values = graph(
        [convolution("Conv2D", "SAME", 2)], {"w": np.random.default_rng(0).normal(size=(3, 3, 2, 3))}
    )
    network = TfjsGraph(model, values, "y").double()
    x = torch.rand(1, 5, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["modelTopology"]["node"][-1].update(op="PyFunc"), "PyFunc"),
        (lambda c: c["modelTopology"]["node"][-1].update(input=["y", "w"]), "depends on itself"),
        (lambda c: c["modelTopology"]["node"][-1].update(input=["x", "gone"]), "no node 'gone'"),
        (lambda c: c["weightsManifest"][0]["weights"][0].update(shape=[3, 3, 1, 2]), "ends early"),
        (lambda c: c["modelTopology"]["node"].append({"name": "y2"}), "cannot be read"),
        (lambda c: c.pop("weightsManifest"), "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(change: Any, message: str) -> None:
    model, values = graph([convolution("Conv2D", "SAME", 1)], {"w": np.ones((3, 3, 1, 1), np.float32)})
    content = json.loads(model)
    change(content)
    with pytest.raises(MissingModelError, match=message):
        TfjsGraph(json.dumps(content).encode(), values, "y")
