"""A filter of rows and one of columns, differentiable.

For pictures of one or three channels torch's convolutions leave most of a processor idle: OpenCV's filter takes a tenth
of the time, there and back, with the same result.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def filtered(planes: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """The correlation of each plane with two odd kernels, where they lie wholly inside.

    Args:
        planes: ``(B, C, H, W)``.
        across, down: ``(2 a + 1,)`` and ``(2 b + 1,)`` taps along rows and along columns.

    Returns:
        ``(B, C, H - 2 b, W - 2 a)``; gradients reach the planes, not the kernels.
    """
    if planes.device.type == "cpu" and planes.dtype in (torch.float32, torch.float64):
        result: Tensor = _Filtered.apply(planes, *(kernel.detach().numpy() for kernel in (across, down)))  # type: ignore[no-untyped-call]
        return result
    channels = planes.shape[1]
    rows = functional.conv2d(planes, across.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(rows, down.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, across: np.ndarray, down: np.ndarray) -> Tensor:
        ctx.kernels = across, down
        return _correlation(planes, across, down)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        across, down = ctx.kernels
        beside, above = len(across) - 1, len(down) - 1
        spread = functional.pad(gradients[0], (beside, beside, above, above))
        return _correlation(spread, across[::-1], down[::-1]), None, None


def _correlation(planes: Tensor, across: np.ndarray, down: np.ndarray) -> Tensor:
    batch, channels, height, width = planes.shape
    left, top = len(across) // 2, len(down) // 2
    result = planes.new_empty(batch * channels, height - 2 * top, width - 2 * left)
    across, down = (np.ascontiguousarray(kernel) for kernel in (across, down))
    for source, target in zip(
        planes.detach().contiguous().numpy().reshape(-1, height, width), result.numpy(), strict=True
    ):
        whole = cv2.sepFilter2D(source, -1, across, down, borderType=cv2.BORDER_CONSTANT)
        target[:] = whole[top : height - top, left : width - left]
    return result.view(batch, channels, *result.shape[-2:])
