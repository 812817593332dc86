"""Scores of an ONNX detector as logits: the graph as it is before its last sigmoid or softmax.

A probability near 1 has hardly any gradient left, and in bfloat16 no digits. An activation is taken out only where
nothing but rearranging lies between it and the graph's outputs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cloak.detectors.readers.onnx import Graph, Node

_ACTIVATIONS = ("Sigmoid", "Softmax")
_REARRANGING = (
    "Cast",
    "Concat",
    "Dropout",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
_LEAST = 1e-12


def before_activations(graph: Graph) -> Graph:
    """The graph without the sigmoids and softmaxes whose results only get rearranged before they are put out."""
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)

    def only_put_out(name: str) -> bool:
        waiting, seen = [name], set()
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            for user in users.get(current, []):
                if user.operation == "Shape":
                    continue
                if user.operation not in _REARRANGING:
                    return False
                if user.operation != "Concat" and user.inputs[0] != current:
                    return False
                waiting.extend(user.outputs)
        return bool(seen & set(graph.outputs))

    nodes = tuple(
        Node("Identity", node.inputs[:1], node.outputs[:1], {})
        if node.operation in _ACTIVATIONS and only_put_out(node.outputs[0])
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def logit(probability: Tensor) -> Tensor:
    """``log(p / (1 - p))``, finite, with a gradient, for every p in [0, 1]."""
    inside = probability.clamp(_LEAST, 1 - 1e-7)
    return torch.log(inside) - torch.log1p(-inside)
