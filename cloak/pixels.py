"""Pictures as detectors are shown them: scaled down, as tensors, and after what happens to published pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: Longer sides of pictures that detectors are shown: what scrapers scale down to, and what two cores can do.
MAX_DISPLAY_SIDE = 1280


@dataclass(frozen=True)
class DisplayedPicture:
    """A picture as detectors are shown it.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, the longer side at most :data:`MAX_DISPLAY_SIDE`.
        scale: its size divided by the picture's.
    """

    pixels: np.ndarray
    scale: float


def display_picture(pixels: np.ndarray) -> DisplayedPicture:
    """The picture, scaled down where it is large."""
    scale = min(1.0, MAX_DISPLAY_SIDE / max(pixels.shape[:2]))
    return DisplayedPicture(pixels if scale == 1.0 else scaled(pixels, scale), scale)


def to_tensor(pixels: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 ``(H, W, 3)`` as ``(1, 3, H, W)`` float32 in [0, 1]."""
    channels_first = np.array(pixels.transpose(2, 0, 1), order="C")
    return torch.from_numpy(channels_first)[None].to(device).float() / 255


def scaled(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Resized by area averaging, as most programs shrink pictures."""
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """After a real JPEG encoder and decoder, chroma halved."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer).convert("RGB"))


def render_conditions(pixels: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """By name: the picture under each condition, and its scale."""
    return {
        "published": (pixels, 1.0),
        "jpeg75": (recompressed(pixels, 75), 1.0),
        "half": (scaled(pixels, 0.5), 0.5),
    }
