"""ONNX operations, each in a small graph, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cloak.detectors.readers.onnx import read_graph
from cloak.detectors.readers.onnx_graph import OnnxModule
from provenance.errors import MissingModelError

FLOAT, WHOLE = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
Steps = list[tuple[str, list[str], str, dict[str, Any]]]


def graph(steps: Steps, values: dict[str, np.ndarray], opset: int, shape: list[Any]) -> bytes:
    """A file of these operations; the last one's result is the output, ``x`` the input."""
    nodes = [
        onnx.helper.make_node(op, inputs, result.split(), **extra) for op, inputs, result, extra in steps
    ]
    last = steps[-1][2].split()[-1]
    made = onnx.helper.make_graph(
        nodes,
        "small",
        [onnx.helper.make_tensor_value_info("x", FLOAT, shape)],
        [onnx.helper.make_empty_tensor_value_info(last)],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def f(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def i(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


RESIZES: list[tuple[str, dict[str, Any]]] = [
    (
        f"{mode}-{place}-{rounding}",
        {"mode": mode, "coordinate_transformation_mode": place, "nearest_mode": rounding},
    )
    for mode in ("nearest", "linear")
    for place in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")
    for rounding in (
        ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil") if mode == "nearest" else ("floor",)
    )
]
CASES: dict[str, tuple[Steps, dict[str, np.ndarray], int]] = {
    **{
        f"resize-{name}-{kind}": (
            [("Resize", ["x", "", "scales"], "y", extra)],
            {"scales": f(1, 1, *scales)},
            13,
        )
        for name, extra in RESIZES
        for kind, scales in (("double", (2, 2)), ("odd", (1.6, 0.7)))
    },
    "resize-sizes": ([("Resize", ["x", "", "", "s"], "y", {"mode": "linear"})], {"s": i(1, 4, 15, 9)}, 13),
    "resize-opset-10": ([("Resize", ["x", "s"], "y", {"mode": "nearest"})], {"s": f(1, 1, 2, 2)}, 10),
    "upsample-9": ([("Upsample", ["x", "s"], "y", {"mode": "nearest"})], {"s": f(1, 1, 2, 3)}, 9),
    "pool-ceil": (
        [("AveragePool", ["x"], "y", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})],
        {},
        13,
    ),
    "pool-same": (
        [("MaxPool", ["x"], "y", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"})],
        {},
        13,
    ),
    "pool-pads": ([("MaxPool", ["x"], "y", {"kernel_shape": [3, 3], "pads": [1, 0, 2, 1]})], {}, 13),
    "pool-average-pads": (
        [("AveragePool", ["x"], "y", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1})],
        {},
        13,
    ),
    "conv-lower": (
        [("Conv", ["x", "w"], "y", {"strides": [2, 2], "auto_pad": "SAME_LOWER"})],
        {"w": np.random.default_rng(1).standard_normal((6, 4, 3, 3)).astype(np.float32)},
        13,
    ),
    "conv-sides": (
        [("Conv", ["x", "w", "b"], "y", {"pads": [0, 1, 2, 0], "dilations": [1, 2], "group": 2})],
        {"w": np.random.default_rng(2).standard_normal((6, 2, 3, 2)).astype(np.float32), "b": f(*range(6))},
        13,
    ),
    "deconv": (
        [
            (
                "ConvTranspose",
                ["x", "w"],
                "y",
                {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "group": 2},
            )
        ],
        {"w": np.random.default_rng(3).standard_normal((4, 3, 3, 3)).astype(np.float32)},
        13,
    ),
    "group-norm": (
        [
            ("Reshape", ["x", "to"], "r", {}),
            ("InstanceNormalization", ["r", "one", "nil"], "n", {"epsilon": 1e-5}),
            ("Shape", ["x"], "s", {}),
            ("Reshape", ["n", "s"], "b", {}),
            ("Mul", ["b", "gain"], "y", {}),
        ],
        {
            "to": i(0, 2, -1),
            "one": f(1, 1),
            "nil": f(0, 0),
            "gain": np.arange(4, dtype=np.float32).reshape(4, 1, 1),
        },
        13,
    ),
    "split-attribute": (
        [("Split", ["x"], "a b", {"axis": 1, "split": [1, 3]}), ("Relu", ["b"], "y", {})],
        {},
        12,
    ),
    "split-even": (
        [("Split", ["x"], "a b c", {"axis": 2, "num_outputs": 3}), ("Relu", ["c"], "y", {})],
        {},
        18,
    ),
    "slice-back": (
        [("Slice", ["x", "from", "to", "axes", "step"], "y", {})],
        {"from": i(-1, 1), "to": i(-(1 << 40), 1 << 40), "axes": i(3, 2), "step": i(-2, 3)},
        13,
    ),
    "slice-attributes": (
        [("Slice", ["x"], "y", {"starts": [1, -2], "ends": [3, 99], "axes": [1, 3]})],
        {},
        9,
    ),
    "gather-back": ([("Gather", ["x", "at"], "y", {"axis": 2})], {"at": np.array([[0, -1], [2, 1]])}, 13),
    "gather-one": (
        [("Shape", ["x"], "s", {}), ("Gather", ["s", "at"], "g", {}), ("Cast", ["g"], "y", {"to": FLOAT})],
        {"at": np.array(-1)},
        13,
    ),
    "pad": ([("Pad", ["x", "p", "v"], "y", {})], {"p": i(0, 0, 1, 2, 0, 1, 0, 3), "v": np.float32(0.5)}, 13),
    "pad-mirrored": ([("Pad", ["x", "p"], "y", {"mode": "reflect"})], {"p": i(0, 0, 1, 2, 0, 0, 2, 1)}, 13),
    "pad-attribute": ([("Pad", ["x"], "y", {"pads": [0, 0, 1, 0, 0, 0, 0, 1], "value": 2.0})], {}, 10),
    "clip": ([("Clip", ["x", "", "most"], "y", {})], {"most": np.float32(0.3)}, 13),
    "clip-attributes": ([("Clip", ["x"], "y", {"min": -0.2, "max": 0.4})], {}, 10),
    "softmax-old": ([("Softmax", ["x"], "y", {"axis": 2})], {}, 11),
    "softmax": ([("Softmax", ["x"], "y", {"axis": 1})], {}, 13),
    "reduce": ([("ReduceMean", ["x"], "y", {"axes": [2, 3], "keepdims": 0})], {}, 13),
    "reduce-input": ([("ReduceSum", ["x", "axes"], "y", {})], {"axes": i(1)}, 13),
    "reduce-18": ([("ReduceMax", ["x", "axes"], "y", {"keepdims": 0})], {"axes": i(-1)}, 18),
    "depth-to-space": ([("DepthToSpace", ["x"], "y", {"blocksize": 2})], {}, 13),
    "depth-to-space-crd": ([("DepthToSpace", ["x"], "y", {"blocksize": 2, "mode": "CRD"})], {}, 13),
    "focus": (
        [
            ("Pad", ["x", "p"], "e", {}),
            ("SpaceToDepth", ["e"], "y", {"blocksize": 2}),
        ],
        {"p": i(0, 0, 0, 0, 0, 0, 1, 1)},
        13,
    ),
    "grid": (
        [
            ("Shape", ["x"], "s", {}),
            ("Gather", ["s", "two"], "n", {}),
            ("Range", ["zero", "n", "one"], "r", {}),
            ("Cast", ["r"], "c", {"to": FLOAT}),
            ("Add", ["c", "half"], "h", {}),
            ("Unsqueeze", ["h", "axis"], "u", {}),
            ("Slice", ["s", "at2", "at4", "at0"], "size", {}),
            ("Expand", ["u", "size"], "y", {}),
        ],
        {
            **{"two": np.array(2), "zero": np.array(0), "one": np.array(1), "half": np.float32(0.5)},
            **{"axis": i(1), "at2": i(2), "at4": i(4), "at0": i(0)},
        },
        13,
    ),
    "filled": (
        [
            ("Shape", ["x"], "s", {}),
            ("ConstantOfShape", ["s"], "c", {"value": onnx.helper.make_tensor("v", FLOAT, [1], [3.0])}),
            ("Where", ["mask", "x", "c"], "y", {}),
        ],
        {"mask": (np.arange(5) % 2 == 0)},
        13,
    ),
    "whole-division": (
        [
            ("Shape", ["x"], "s", {}),
            ("Neg", ["s"], "n", {}),
            ("Div", ["n", "two"], "d", {}),
            ("Cast", ["d"], "y", {"to": FLOAT}),
        ],
        {"two": i(2)},
        13,
    ),
    "flatten-gemm": (
        [
            ("Flatten", ["x"], "f", {}),
            ("Gemm", ["f", "w", "b"], "y", {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        ],
        {"w": np.random.default_rng(5).standard_normal((3, 140)).astype(np.float32), "b": f(1, 2, 3)},
        13,
    ),
    "activations": (
        [
            ("LeakyRelu", ["x"], "a", {"alpha": 0.1}),
            ("PRelu", ["a", "slope"], "b", {}),
            ("HardSwish", ["b"], "c", {}),
            ("Elu", ["c"], "d", {}),
            ("Softplus", ["d"], "e", {}),
            ("HardSigmoid", ["e"], "g", {"alpha": 0.3}),
            ("Erf", ["g"], "y", {}),
        ],
        {"slope": f(0.1, 0.2, 0.3, 0.4).reshape(4, 1, 1)},
        14,
    ),
    "scatter": (
        [("Shape", ["x"], "s", {}), ("ScatterND", ["x", "at", "new"], "y", {})],
        {"at": np.array([[0, 1], [0, 3]]), "new": np.ones((2, 7, 5), np.float32)},
        13,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_onnx_runtime(name: str) -> None:
    steps, values, opset = CASES[name]
    data = graph(steps, values, opset, [1, 4, 7, 5])
    x = np.random.default_rng(7).standard_normal((1, 4, 7, 5)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (expected,) = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    (found,) = OnnxModule(read_graph(data))(torch.from_numpy(x))
    assert list(found.shape) == list(expected.shape)
    assert np.abs(found.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ([("Tile", ["x", "n"], "y", {})], {"n": i(1, 1, 1 << 20, 1 << 20)}),
        ([("Expand", ["x", "n"], "y", {})], {"n": i(1 << 30, 4, 7, 5)}),
        ([("Resize", ["x", "", "n"], "y", {})], {"n": f(1, 1, 1e6, 1e6)}),
        ([("Pad", ["x", "n"], "y", {})], {"n": i(0, 0, 1 << 40, 0, 0, 0, 0, 0)}),
        ([("Gather", ["x", "n"], "y", {"axis": 1})], {"n": i(4)}),
        ([("Reshape", ["x", "n"], "y", {})], {"n": i(3, -1)}),
        ([("Range", ["a", "b", "a"], "y", {})], {"a": np.array(0), "b": np.array(9)}),
        ([("Conv", ["x", "w"], "y", {"pads": [1 << 30, 0, 0, 0]})], {"w": np.ones((1, 4, 3, 3), np.float32)}),
        ([("Add", ["x", "w"], "y", {})], {"w": np.ones((3, 2, 1, 1), np.float32)}),
        ([("Concat", ["x", "w"], "y", {"axis": 9})], {"w": np.ones((1, 4, 7, 5), np.float32)}),
        ([("Split", ["x", "n"], "a y", {"axis": 1})], {"n": i(1, 9)}),
        ([("MatMul", ["x", "x"], "y", {})], {}),
        ([("Slice", ["x", "n", "n", "n", "zero"], "y", {})], {"n": i(1), "zero": i(0)}),
    ],
)
def test_nonsense_is_one_kind_of_error(steps: Steps, values: dict[str, np.ndarray]) -> None:
    with pytest.raises(MissingModelError, match="the ONNX operation"):
        OnnxModule(read_graph(graph(steps, values, 13, [1, 4, 7, 5])))(torch.zeros(1, 4, 7, 5))
