"""Pictures without colours."""

from __future__ import annotations

import cv2
import numpy as np


def without_colour(pixels: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` uint8 with its brightness (BT.601) in all three channels."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)
