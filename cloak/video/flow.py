"""Noise that moves with what it lies on: optical flow from each frame back to its key frame.

Flow is OpenCV's DIS (Kroeger et al., ECCV 2016). It is asked for directly between key frame and frame, starting from
the previous frame's answer, so that errors do not add up from frame to frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_LARGE_ERROR = 30
_MAX_LARGE_SHARE = 0.12
_MAX_MEAN_ERROR = 11.0


class FlowTracker:
    """Follows one key frame's patch through later frames.

    Args:
        key: uint8 ``(H, W, 3)`` RGB, the patch in the key frame.
    """

    def __init__(self, key: np.ndarray) -> None:
        self._key = _to_grey(key)
        self._flow: np.ndarray | None = None
        self._engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def follow(self, patch: np.ndarray) -> np.ndarray:
        """Where each pixel of a later patch lies in the key frame's.

        Args:
            patch: uint8 ``(H, W, 3)`` RGB, of the key's size.

        Returns:
            float32 ``(H, W, 2)``: pixels to go right and down.
        """
        start = np.zeros((*self._key.shape, 2), np.float32) if self._flow is None else self._flow.copy()
        self._flow = np.asarray(self._engine.calc(_to_grey(patch), self._key, start))
        return self._flow

    def holds(self, patch: np.ndarray, flow: np.ndarray) -> bool:
        """Does the key frame, moved along the flow, still look like this patch in its middle, where the face is?"""
        height, width = self._key.shape
        middle = (slice(height // 4, -(height // 4) or None), slice(width // 4, -(width // 4) or None))
        difference = _to_grey(patch).astype(np.float32) - moved(self._key.astype(np.float32), flow)
        difference = np.abs(difference[middle] - np.median(difference[middle]))
        return bool(
            difference.mean() <= _MAX_MEAN_ERROR and (difference > _LARGE_ERROR).mean() <= _MAX_LARGE_SHARE
        )


def moved(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A float32 ``(H, W)`` or ``(H, W, C)`` picture looked up along a flow, cubic, 0 outside."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32), copy=False
    )
    return np.asarray(
        cv2.remap(
            picture,
            columns + flow[..., 0],
            rows + flow[..., 1],
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
    )


def grid_of(flow: np.ndarray, device: str = "cpu") -> Tensor:
    """The flow as ``(1, H, W, 2)`` places in [-1, 1], as :func:`moved_tensor` wants it."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = np.stack(
        [
            2 * (columns + flow[..., 0]) / max(1, width - 1) - 1,
            2 * (rows + flow[..., 1]) / max(1, height - 1) - 1,
        ],
        2,
    )
    return torch.from_numpy(places.astype(np.float32))[None].to(device)


def moved_tensor(noise: Tensor, grid: Tensor, limit: float) -> Tensor:
    """:func:`moved` for ``(1, C, H, W)``, differentiable, kept within plus and minus ``limit``."""
    looked_up = functional.grid_sample(
        noise, grid.to(noise), mode="bicubic", padding_mode="zeros", align_corners=True
    )
    return looked_up.clamp(-limit, limit)


def flicker(earlier: np.ndarray, later: np.ndarray, flow: np.ndarray) -> float:
    """How much of the noise changes from one frame to the next besides moving along, in levels of 255.

    Args:
        earlier, later: float32 ``(H, W, 3)`` noise of two frames that follow each other, in levels.
        flow: from the later frame back to the earlier one.
    """
    return float(np.abs(later - moved(earlier, flow)).mean())


def _to_grey(patch: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY))
