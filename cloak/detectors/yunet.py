"""YuNet (Wu et al., 2023, "YuNet: A Tiny Millisecond-level Face Detector"), OpenCV's face detector.

As ``cv2.FaceDetectorYN`` does it: blue first, values 0 to 255, padded with black at the right and lower side to
multiples of 32. Three maps with strides of 8, 16 and 32; a cell's score is the root of its class score times its
object score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cloak import models
from cloak.detectors.brought.onnx_faces import OnnxFaceDetector, Preparation, Raw, grid, rows_of
from cloak.detectors.readers.onnx import Graph, read_graph
from provenance.errors import MissingModelError

_STRIDES = (8, 16, 32)
_PARTS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
_NAME = re.compile(r"(cls|obj|bbox|kps)_?(8|16|32)$")


class YuNet(OnnxFaceDetector):
    """``threshold`` is the least score. OpenCV's own default is 0.9, its sample programs take less: 0.6 here, so that
    what is hidden is hidden from both. Landmarks: right and left eye, nose, right and left corner of the mouth.
    """

    name = "yunet"
    family = "yunet"

    def __init__(self, graph: Graph, *, threshold: float = 0.6, size: tuple[int, int] | None = None) -> None:
        self.order = _order(graph.outputs)
        super().__init__(graph, Preparation(swapped=True, overlap=0.3), threshold, size)

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> YuNet:
        """With weights that were downloaded or lie in ``weights_dir``.

        Raises:
            MissingModelError: they are missing or altered.
        """
        return cls(read_graph(models.read("yunet", weights_dir)))

    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        logits, boxes, landmarks = [], [], []
        for level, stride in enumerate(_STRIDES):
            cells = grid(height, width, stride, outputs[0])
            kind, thing, box, points = (
                rows_of(outputs[self.order[part * 3 + level]], wide, len(cells))
                for part, (_, wide) in enumerate(_PARTS)
            )
            # log of the root of the product; one minus that score comes without loss from expm1
            score = sum(
                logsigmoid(self.logits_of(level * 2 + part, one)) for part, one in enumerate((kind, thing))
            )
            half = torch.as_tensor(score) / 2
            logits.append(half - torch.log(-torch.expm1(half)))
            middle = (cells + box[..., :2]) * stride
            sides = torch.exp(box[..., 2:]) * stride
            boxes.append(torch.cat([middle - sides / 2, middle + sides / 2], -1))
            landmarks.append((points.reshape(*points.shape[:2], 5, 2) + cells[:, None]) * stride)
        return Raw(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(landmarks, 1))


def _order(outputs: Sequence[str]) -> list[int]:
    """Where the twelve outputs are, part by part and stride by stride; by their names, or else as they come."""
    if len(outputs) != 12:
        raise MissingModelError(
            f"the ONNX model has {len(outputs)} outputs, expected YuNet's 12 (cls, obj, bbox, kps for three strides)"
        )
    places = {match.groups(): at for at, name in enumerate(outputs) if (match := _NAME.search(name))}
    wanted = [(part, str(stride)) for part, _ in _PARTS for stride in _STRIDES]
    return [places[one] for one in wanted] if set(wanted) <= places.keys() else list(range(12))
