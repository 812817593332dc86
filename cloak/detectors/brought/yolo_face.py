"""YOLOv8-face (Ultralytics' YOLOv8 trained on faces) in the ONNX exports that are about.

Red first, values 0 to 1, fitted into the middle of the size that the file wants, or of 640 x 640 pixels. Its output
is one of these:

* one tensor ``(1, C, N)`` or ``(1, N, C)``: centre, width and height of each box in pixels, the scores of the
  classes, and five landmarks with or without their visibility (Ultralytics; derronqi, akanametov, FaceFusion's
  yoloface_8n);
* the same with suppression behind it (``nms=True``), which is left out;
* a map for each stride, ``(1, 64 + 1 + 15, h, w)``, or its parts (hpc203's and others for embedded use): 16 steps for
  each side's distance, of which the mean is taken, the score, and the landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cloak.detectors.brought.onnx_faces import OnnxFaceDetector, Preparation, Raw, declared_size, grid, probe
from cloak.detectors.readers.onnx import Graph, Node
from cloak.detectors.readers.onnx_graph import OPERATIONS, OnnxModule
from provenance.errors import MissingModelError

_STRIDES = (8, 16, 32)
_STEPS = 16
_PREPARATION = Preparation(scale=1 / 255, corner=False, overlap=0.5)


class YoloV8Face(OnnxFaceDetector):
    """``threshold`` is the least score: 0.25 in Ultralytics, 0.5 in FaceFusion."""

    name = "yolov8-face"
    family = "yolov8-face"

    def __init__(self, graph: Graph, *, threshold: float = 0.25) -> None:
        size = declared_size(graph) or (640, 640)
        choosing = _before_suppression(graph, size)
        super().__init__(choosing, _PREPARATION, threshold, size)
        self.shortened = choosing is not graph

    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        count = sum(height // stride * (width // stride) for stride in _STRIDES)
        if (rows := _rows(outputs, count)) is not None:
            return self._decoded(rows)
        return self._from_maps(outputs, height, width)

    def _decoded(self, rows: Tensor) -> Raw:
        """From ``(1, N, C)``, boxes in pixels."""
        middle, half = rows[..., :2], rows[..., 2:4] / 2
        classes, points = _classes(rows.shape[-1])
        scores = rows[..., 4 : 4 + classes].amax(-1, keepdim=True)
        landmarks = rows[..., 4 + classes :].reshape(1, rows.shape[1], 5, points)[..., :2] if points else None
        return Raw(self.logits_of(0, scores), torch.cat([middle - half, middle + half], -1), landmarks)

    def _from_maps(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        """From maps for each stride."""
        logits, boxes, landmarks = [], [], []
        for level, stride in enumerate(_STRIDES):
            size = (height // stride, width // stride)
            row = _level(outputs, size)
            cells = grid(height, width, stride, row)
            wide = 4 * _STEPS
            # the mean of a distribution over whole numbers of strides, for each side
            share = torch.softmax(row[..., :wide].reshape(1, -1, 4, _STEPS), -1)
            reach = share @ torch.arange(_STEPS).to(share)
            corners = torch.cat([cells + 0.5 - reach[..., :2], cells + 0.5 + reach[..., 2:]], -1)
            boxes.append(corners * stride)
            classes, points = _classes(row.shape[-1] - wide + 4)
            logits.append(self.logits_of(level, row[..., wide : wide + classes].amax(-1, keepdim=True)))
            if points:
                place = row[..., wide + classes :].reshape(1, row.shape[1], 5, points)[..., :2]
                landmarks.append((place * 2 + cells[:, None]) * stride)
        return Raw(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(landmarks, 1) if landmarks else None)


def _classes(channels: int) -> tuple[int, int]:
    """How many classes and values for each landmark there are behind four of a box: five landmarks of three or two
    values, or none.
    """
    if channels >= 20:
        return channels - 19, 3
    if channels == 15:
        return 1, 2
    return channels - 4, 0


def _rows(outputs: Sequence[Tensor], count: int) -> Tensor | None:
    """The decoded output as ``(1, N, C)``; None where there is none."""
    for one in outputs:
        if one.ndim == 3 and len(one) == 1 and count in one.shape[1:] and min(one.shape[1:]) >= 5:
            rows = one if one.shape[1] == count else one.transpose(1, 2)
            if rows.shape[-1] <= 100:
                return rows
    return None


def _level(outputs: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """What there is for one stride, ``(1, cells, C)``: distances, score, landmarks."""
    maps = [one for one in outputs if one.ndim == 4 and tuple(one.shape[2:]) == size]
    # a map of distances alone comes first, then the score, then the landmarks; one map may be all of them
    maps.sort(key=lambda one: {4 * _STEPS: 0, 1: 1}.get(one.shape[1], 2))
    channels = sum(one.shape[1] for one in maps)
    if not maps or channels < 4 * _STEPS + 1 or channels - 4 * _STEPS > 100:
        shapes = [list(one.shape) for one in outputs]
        raise MissingModelError(f"the ONNX model's outputs are {shapes}, which is none of YOLOv8-face's")
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], -1)


@torch.no_grad()
def _before_suppression(graph: Graph, size: tuple[int, int]) -> Graph:
    """The graph up to its decoded boxes, where the file goes on to choose among them.

    What comes before the first operation that chooses is run once; the last of its results that has a row for every
    cell is what was chosen from.
    """
    choosing = [
        at
        for at, node in enumerate(graph.nodes)
        if node.operation in ("NonMaxSuppression", "TopK", "If", "Loop")
    ]
    if not choosing:
        return graph
    nodes = _runnable(replace(graph, nodes=graph.nodes[: choosing[0]]))
    made = tuple(node.outputs[0] for node in nodes)
    values = dict(
        zip(
            made,
            OnnxModule(replace(graph, nodes=nodes, outputs=made))(probe(size, _PREPARATION)),
            strict=True,
        )
    )
    count = sum(size[0] // stride * (size[1] // stride) for stride in _STRIDES)
    for channels in (20, 5, 15):
        for name in reversed(made):
            shape = list(values[name].shape)
            if values[name].is_floating_point() and sorted(shape) == sorted([1, channels, count]):
                return replace(graph, nodes=nodes, outputs=(name,))
    raise MissingModelError(
        "the ONNX model chooses among its boxes itself, and what it chooses from was not found",
        hint="export it without suppression (Ultralytics: nms=False)",
    )


def _runnable(graph: Graph) -> tuple[Node, ...]:
    """The nodes that can be run, and all that they need."""
    known = {"", *graph.inputs, *graph.constants}
    kept = []
    for node in graph.nodes:
        if node.operation in OPERATIONS and known.issuperset(node.inputs):
            kept.append(node)
            known.update(node.outputs)
    return tuple(kept)
