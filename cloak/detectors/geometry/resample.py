"""Resizing exactly as the libraries do that the detectors were written for."""

from __future__ import annotations

import torch
from torch import Tensor

_ONE = 1 << 11  # OpenCV's fixed-point weights have 11 bits


def opencv_bilinear(pixels: Tensor, height: int, width: int) -> Tensor:
    """``cv2.resize(..., INTER_LINEAR)`` of whole-numbered pixels, with its fixed-point rounding.

    Plain bilinear interpolation differs from it by up to one grey level in every eighth pixel, enough to move
    a detector's score by some thousandths. Not differentiable: use ``interpolate`` for that.

    Args:
        pixels: ``(B, C, H, W)`` float, whole numbers 0 to 255.

    Returns:
        ``(B, C, height, width)`` of the same type, whole numbers 0 to 255.
    """
    left, right, weight_left, weight_right = _taps(pixels.shape[-1], width, pixels.device)
    upper, lower, weight_upper, weight_lower = _taps(pixels.shape[-2], height, pixels.device)
    whole = pixels.int()
    rows = (whole[..., left] * weight_left + whole[..., right] * weight_right) >> 4
    above = (rows[..., upper, :] * weight_upper[:, None]) >> 16
    below = (rows[..., lower, :] * weight_lower[:, None]) >> 16
    return ((above + below + 2) >> 2).to(pixels.dtype)


def _taps(source: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both neighbours of each target pixel and their weights, ``(target,)`` each."""
    position = (torch.arange(target, dtype=torch.float64, device=device) + 0.5) * (source / target) - 0.5
    position = position.float()
    first = position.floor()
    share = position - first
    share = torch.where((first < 0) | (first >= source - 1), torch.zeros_like(share), share)
    near = first.clamp(0, source - 1).long()
    far = (near + 1).clamp(max=source - 1)
    return near, far, ((1 - share) * _ONE).round().int(), (share * _ONE).round().int()
