"""Torch modules with seeded weights as ONNX files, and changes to such files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn


def seeded(module: nn.Module, seed: int = 0, span: float = 1.0) -> nn.Module:
    """Weights that keep values of a moderate size from layer to layer, and normalisations that are not the identity.

    Args:
        span: about the largest value of what the first layer is given.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fan = layer.weight[0].numel()
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * (1.6 / fan) ** 0.5
            if layer.bias is not None:
                layer.bias.data = torch.randn(layer.bias.shape, generator=generator) * 0.1
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data = 0.8 + 0.4 * torch.rand(layer.weight.shape, generator=generator)
            layer.bias.data = 0.2 * torch.randn(layer.bias.shape, generator=generator)
            layer.running_mean = 0.1 * torch.randn(layer.running_mean.shape, generator=generator)  # type: ignore[union-attr]
            layer.running_var = 0.7 + 0.6 * torch.rand(layer.running_var.shape, generator=generator)  # type: ignore[union-attr]
    first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    first.weight.data /= span
    return module.eval()


def decided(heads: Sequence[nn.Module], factor: float = 12.0) -> None:
    """Scores further apart than random weights make them."""
    for layer in (one for head in heads for one in head.modules()):
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.weight.data *= factor


def exported(
    module: nn.Module,
    size: tuple[int, int],
    outputs: Sequence[str],
    *,
    dynamic: bool = False,
    opset: int = 11,
    **more: Any,
) -> bytes:
    """The ONNX file that torch's tracing exporter writes, which is what the published ones come from."""
    buffer = io.BytesIO()
    free = {"input": {2: "?", 3: "?"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, *size),),
            buffer,
            input_names=["input"],
            output_names=list(outputs),
            dynamic_axes=free,
            opset_version=opset,
            dynamo=False,
            **more,
        )
    return buffer.getvalue()


def with_opset(data: bytes, version: int) -> bytes:
    """The same graph for another version of the operators."""
    model = onnx.version_converter.convert_version(onnx.load_from_string(data), version)
    return bytes(model.SerializeToString())


def weights_as_nodes(data: bytes) -> bytes:
    """The same graph with each weight in a Constant node."""
    model = onnx.load_from_string(data)
    nodes = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    del model.graph.initializer[:]
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return bytes(model.SerializeToString())


def halved(data: bytes) -> bytes:
    """The same graph with weights, input and outputs of 16 bits."""
    model = onnx.load_from_string(data)
    scales = {name for node in model.graph.node if node.op_type == "Resize" for name in node.input[1:]}
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if tensor.name not in scales and array.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if scales.intersection(node.output):
                continue
            if attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.FLOAT:
                array = onnx.numpy_helper.to_array(attribute.t).astype(np.float16)
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(array))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.FLOAT16
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return bytes(model.SerializeToString())


def choosing(data: bytes, count: int) -> bytes:
    """A decoded YOLO file with suppression behind it, as ``nms=True`` exports it: rows of those that were kept."""
    model = onnx.load_from_string(data)
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    graph, before = model.graph, model.graph.output[0].name
    graph.initializer.extend(
        [
            array(np.array([4, 1, 15]), "parts"),
            array(np.array([count]), "most"),
            array(np.array([0.45], np.float32), "iou"),
            array(np.array([0.25], np.float32), "least"),
            array(np.array([2]), "column"),
        ]
    )
    graph.node.extend(
        [
            make("Transpose", [before], ["turned"], perm=[0, 2, 1]),
            make("Split", ["turned", "parts"], ["middles", "confidence", "rest"], axis=2),
            make("Transpose", ["confidence"], ["by_class"], perm=[0, 2, 1]),
            make(
                "NonMaxSuppression",
                ["middles", "by_class", "most", "iou", "least"],
                ["chosen"],
                center_point_box=1,
            ),
            make("Gather", ["chosen", "column"], ["kept"], axis=1),
            make("Squeeze", ["kept"], ["which"]),
            make("Gather", ["turned", "which"], ["output0"], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, [1, None, 20]))
    return bytes(model.SerializeToString())
