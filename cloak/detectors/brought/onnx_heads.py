"""How SCRFD, RetinaFace and Ultra-Light tell boxes in their ONNX exports. Input and decoding as in the programs that
use them; which file they come from is left to the person who brings it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cloak.detectors.brought.onnx_faces import (
    OnnxFaceDetector,
    Preparation,
    Raw,
    declared_size,
    grid,
    rows_of,
)
from cloak.detectors.priors import decode_boxes, decode_landmarks
from cloak.detectors.readers.onnx import Graph
from provenance.errors import MissingModelError, UsageError

#: By how many values there are for each anchor: a score, a box, five landmarks.
_WIDTHS = (1, 4, 10)


class Scrfd(OnnxFaceDetector):
    """SCRFD (Guo et al., 2021, "Sample and Computation Redistribution for Efficient Face Detection") as insightface
    exports it, with which roop, inswapper, LivePortrait and FaceFusion find faces.

    Input as there: red first, ``(value - 127.5) / 128``, fitted into the upper left corner of 640 x 640 pixels (or of
    the size that the file wants), black around it. Three maps with two anchors in each cell, or five with one;
    distances from the cell's corner to the sides of the box in strides.
    """

    name = "scrfd"
    family = "scrfd"

    def __init__(self, graph: Graph, *, threshold: float = 0.5) -> None:
        if len(graph.outputs) not in (6, 9, 10, 15):
            raise MissingModelError(
                f"the ONNX model has {len(graph.outputs)} outputs, expected SCRFD's 6 or 9 (three strides), or 10 or 15"
            )
        self.strides = (8, 16, 32) if len(graph.outputs) in (6, 9) else (8, 16, 32, 64, 128)
        preparation = Preparation(mean=(127.5,) * 3, scale=1 / 128, overlap=0.4, pixel=1.0)
        super().__init__(graph, preparation, threshold, declared_size(graph) or (640, 640))

    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        count = len(self.strides)
        cells = [grid(height, width, stride, outputs[0]) for stride in self.strides]
        anchors = _anchors_in(outputs[0], len(cells[0]))
        parts = [
            [
                rows_of(one, wide, anchors * len(cells[level]))
                for level, one in enumerate(outputs[at : at + count])
            ]
            for at, wide in zip(range(0, len(outputs), count), _WIDTHS, strict=False)
        ]
        logits, boxes, landmarks = [], [], []
        for level, stride in enumerate(self.strides):
            corner = cells[level].repeat_interleave(anchors, 0) * stride
            logits.append(self.logits_of(level, parts[0][level]))
            reach = parts[1][level] * stride
            boxes.append(torch.cat([corner - reach[..., :2], corner + reach[..., 2:]], -1))
            if len(parts) == 3:
                points = parts[2][level].reshape(1, -1, 5, 2) * stride
                landmarks.append(points + corner[:, None])
        return Raw(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(landmarks, 1) if landmarks else None)


class RetinaFaceOnnx(OnnxFaceDetector):
    """RetinaFace (Deng et al., 2019) as biubug6's repositories export it: box corrections, two class scores, landmark
    corrections, in any order.

    Blue first, minus (104, 117, 123). Three strides with anchors of 16 to 512 pixels, two in each cell (of
    Pytorch_Retinaface); or four strides with anchors of 10 to 256 pixels (slim and RFB of Face-Detector-1MB).
    """

    name = "retinaface"
    family = "retinaface"

    def __init__(self, graph: Graph, *, threshold: float = 0.6, size: tuple[int, int] | None = None) -> None:
        if len(graph.outputs) in (6, 9):
            raise UsageError(
                f"the ONNX model has {len(graph.outputs)} outputs, RetinaFace has 2 or 3",
                hint="what insightface calls RetinaFace there is SCRFD: use --head scrfd",
            )
        preparation = Preparation(swapped=True, mean=(104.0, 117.0, 123.0), overlap=0.4, pixel=1.0, fill=0.0)
        super().__init__(graph, preparation, threshold, size)

    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        corrections, classes = (_of_width(outputs, wide) for wide in (4, 2))
        centre, side = _priors(height, width, corrections)
        landmarks = None
        if len(outputs) > 2:
            landmarks = decode_landmarks(_of_width(outputs, 10), centre, side)
        return Raw(self.logits_of(0, classes), decode_boxes(corrections, centre, side), landmarks)


class UltraLight(OnnxFaceDetector):
    """Ultra-Light-Fast-Generic-Face-Detector-1MB (Linzaer), slim or RFB, 320 or 640: two class scores, and boxes that
    the graph has decoded to shares of the picture's sides.

    Red first, ``(value - 127) / 128``. The anchors lie in the graph, so the size is the file's. The original stretches
    the picture to it; here its shape is kept.
    """

    name = "ultra-light"
    family = "ultra-light"

    def __init__(self, graph: Graph, *, threshold: float = 0.6) -> None:
        size = declared_size(graph)
        if size is None:
            raise MissingModelError(
                "the ONNX model names no size, which Ultra-Light's anchors need",
                hint="bring the file with its size, such as version-RFB-320.onnx",
            )
        super().__init__(graph, Preparation(mean=(127.0,) * 3, scale=1 / 128, overlap=0.3), threshold, size)

    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        classes, shares = (_of_width(outputs, wide) for wide in (2, 4))
        return Raw(self.logits_of(0, classes), shares * shares.new_tensor([width, height, width, height]))


def _anchors_in(scores: Tensor, cells: int) -> int:
    """How many anchors there are in a cell of the first map."""
    anchors, rest = divmod(scores.numel(), cells)
    if rest or not 1 <= anchors <= 4:
        raise MissingModelError(
            f"the ONNX model's first output is {list(scores.shape)}, expected scores for {cells} cells"
        )
    return anchors


def _of_width(outputs: Sequence[Tensor], width: int) -> Tensor:
    """The output whose rows have so many values."""
    fitting = [one for one in outputs if one.shape[-1] == width and one.ndim in (2, 3)]
    if len(fitting) != 1:
        shapes = [list(one.shape) for one in outputs]
        raise MissingModelError(f"the ONNX model's outputs are {shapes}, expected one with rows of {width}")
    return rows_of(fitting[0], width)


def _priors(height: int, width: int, corrections: Tensor) -> tuple[Tensor, Tensor]:
    """Centres ``(M, 2)`` and sides ``(M, 1)`` of RetinaFace's anchors, in pixels; which set it is, their number
    tells.
    """
    large = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
    small = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
    for kinds in (large, small):
        centres, sides = [], []
        for stride, lengths in kinds:
            up = -(-height // stride) * stride, -(-width // stride) * stride
            cells = (grid(*up, stride, corrections) + 0.5) * stride
            centres.append(cells.repeat_interleave(len(lengths), 0))
            sides.append(corrections.new_tensor(lengths).repeat(len(cells)))
        if sum(map(len, centres)) == corrections.shape[1]:
            return torch.cat(centres), torch.cat(sides)[:, None]
    raise MissingModelError(
        f"the ONNX model has {corrections.shape[1]} anchors for {height} x {width} pixels, "
        "which is no set of RetinaFace's"
    )
