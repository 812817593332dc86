"""What our reader makes of an ONNX file, against ONNX Runtime, where that is installed."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import torch
from torch.nn.functional import interpolate

from cloak.detectors.readers.onnx import read_graph
from cloak.detectors.readers.onnx_call import MOST_VALUES
from cloak.detectors.readers.onnx_graph import OnnxModule
from provenance.errors import MissingModelError

#: The largest difference allowed, as a share of the largest value of an output (at least 1).
TOLERANCE = 1e-3
#: The same for graphs that compute with numbers of 16 bits; ours always computes with 32.
TOLERANCE_HALF = 3e-2


def can_check() -> bool:
    """Is ONNX Runtime installed?"""
    return importlib.util.find_spec("onnxruntime") is not None


@torch.no_grad()
def check_against_runtime(data: bytes, shown: torch.Tensor) -> float:
    """The largest difference between our outputs and those of ONNX Runtime.

    Args:
        data: the file.
        shown: ``(1, 3, H, W)``, a picture as the graph takes it; resized, and repeated, to what the file declares.

    Returns:
        As a share of the largest value of the output, at least 1.

    Raises:
        MissingModelError: ONNX Runtime refuses the file, or the difference is too large.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        half = given.type == "tensor(float16)"
        shown = _as_declared(shown, given.shape)
        picture = shown.numpy().astype(np.float16 if half else np.float32)
        theirs = session.run(None, {given.name: picture})
    except Exception as error:  # its errors have no common class of their own
        raise MissingModelError(
            f"ONNX Runtime cannot run the file: {str(error).splitlines()[0][:200]}"
        ) from error
    graph = read_graph(data)
    ours = OnnxModule(graph)(shown)
    halved = half or any(array.dtype == np.float16 for array in graph.constants.values())
    worst = 0.0
    for name, mine, other in zip(graph.outputs, ours, theirs, strict=True):
        if list(mine.shape) != list(other.shape):
            raise MissingModelError(
                f"the output {name[:60]} is {list(mine.shape)} here, {list(other.shape)} in ONNX Runtime"
            )
        gap = np.abs(mine.double().numpy() - other.astype(np.float64)).max(initial=0.0)
        worst = max(worst, float(gap) / max(1.0, float(np.abs(other).max(initial=0.0))))
    if not worst <= (TOLERANCE_HALF if halved else TOLERANCE):
        raise MissingModelError(f"our reading of the ONNX model differs from ONNX Runtime's by {worst:.2g}")
    return worst


def _as_declared(shown: torch.Tensor, shape: list[int | str | None]) -> torch.Tensor:
    """A picture of the sides that are numbers; the others are free."""
    sides = [
        side if isinstance(side, int) and side > 0 else own
        for side, own in zip(shape, shown.shape, strict=True)
    ]
    if math.prod(sides) > MOST_VALUES or sides[1] != 3:
        raise MissingModelError(f"the ONNX model takes {sides}, expected pictures of [N, 3, height, width]")
    if sides[2:] != list(shown.shape[2:]):
        shown = interpolate(shown, size=sides[2:], mode="bilinear", align_corners=False)
    return shown.expand(sides).contiguous()
