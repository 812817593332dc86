"""Grain on the rest of the picture, so that the faces do not stand out by theirs."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from cloak.veils.base import LUMA, Canvas, Veil
from cloak.veils.grain import spread_share, tone_share

#: Grain is drawn once on a square of so many pixels, and repeated.
_TILE = 768
#: The share is computed on a picture so many times smaller.
_SHRINK = 8
#: Share of full strength, between what :func:`cloak.veils.grain.strength_map` gives smooth places and texture.
_SMOOTH_SHARE = 0.75
#: Rows that are worked on at a time.
_ROWS = 512


def add_background(
    canvas: np.ndarray,
    pixels: np.ndarray,
    faces: Tensor,
    veil: Veil,
    amplitude: float,
    scale: float,
    seed: int,
) -> None:
    """Add random grain to a picture's change wherever the searched veil leaves room.

    Args:
        canvas: int16 ``(H, W, 3)``, the change so far in levels; is changed.
        pixels: uint8 ``(H, W, 3)``.
        faces: ``(N, 4)`` the places that have a searched veil, in pixels.
        veil: whose random look is wanted.
        amplitude: of that veil.
        scale: working pixels for each pixel of the picture; grain is as large as on the faces.
        seed: of the grain.
    """
    height, width = pixels.shape[:2]
    tile = _tile(veil, amplitude, scale, seed)
    small = (max(1, -(-height // _SHRINK)), max(1, -(-width // _SHRINK)))
    share = spread_share(small, faces / _SHRINK)[0, 0].numpy()
    strength = _SMOOTH_SHARE * tone_share(torch.arange(256) / 255).numpy()
    rows_in_map = np.linspace(0, small[0] - 1, height, dtype=np.float32)
    columns_in_map = np.linspace(0, small[1] - 1, width, dtype=np.float32)
    for top in range(0, height, _ROWS):
        part = pixels[top : top + _ROWS]
        rows = np.arange(top, top + len(part)) % len(tile)
        repeated = tile[rows][:, np.arange(width) % len(tile)]
        brightness = (part.astype(np.float32) @ np.array(LUMA, np.float32)).astype(np.uint8)
        across, down = np.meshgrid(columns_in_map, rows_in_map[top : top + len(part)])
        free = 1 - cv2.remap(share, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        change = repeated * (strength[brightness] * free)[..., None]
        canvas[top : top + _ROWS] += np.rint(change).astype(np.int16)


def _tile(veil: Veil, amplitude: float, scale: float, seed: int) -> np.ndarray:
    """``(T, T, 3)`` float32: what the veil adds to flat middle grey, in levels, at full strength."""
    side = max(64, round(_TILE * scale))
    grey = torch.full((1, 3, side, side), 0.5)
    flat = Canvas(grey, torch.ones(1, 1, side, side))
    with torch.no_grad():
        change = veil.render(flat, veil.random(flat, seed), amplitude) - grey
    here = _SMOOTH_SHARE * float(tone_share(torch.tensor(0.5)))
    levels: np.ndarray = change[0].permute(1, 2, 0).numpy() * (255 / here)
    if side != _TILE:
        levels = cv2.resize(levels, (_TILE, _TILE), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(levels, np.float32)
