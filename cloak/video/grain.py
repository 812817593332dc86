"""Grain around the faces of a film: like film's own it is another in every frame.

Grain that moves is what an encoder pays most for: on a film of 540 x 960 pixels at CRF 20, grain of .03 all over the
frame made the file 6.4 times as large, of .02 2.6 times, of .01 1.2 times. So it is strong near the faces alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from cloak.veils.base import Canvas, Veil
from cloak.veils.grain import spread_share, tone_share
from cloak.video.veil import FADE, REACH

#: How strong it is around the faces, in shares of the whole range; far from them it has the second share of that.
AMPLITUDE, FAR = 0.02, 0.25
#: So far around a face, in its sizes, it has its full strength, and over so much it fades to that of far places.
_NEAR_REACH, _NEAR_FADE = 0.3, 0.6
#: Share of it that also lies on the faces, over what was searched: grain that stands still looks like dirt on the lens.
ON_FACES = 0.4
_TILE = 768
#: The share is computed on a frame so many times smaller.
_SHRINK = 8


class MovingGrain:
    """Random grain for whole frames, fading out where a searched veil lies.

    Args:
        veil: whose look is wanted.
        scale: of what is shown, in shares of the frame's size; grain is as large as on the faces.
        size: width and height of the frames.
        seed: of the grain.
    """

    def __init__(self, veil: Veil, scale: float, size: tuple[int, int], seed: int) -> None:
        tile = _tile(veil, scale, seed)
        width, height = size
        repeats = (-(-height // _TILE) + 1, -(-width // _TILE) + 1)
        self._field = np.ascontiguousarray(np.tile(tile, repeats)[: height + _TILE, : width + _TILE])
        self._seed, self._size = seed, size
        self._strength = tone_share(torch.arange(256) / 255).numpy()

    def of(self, frame: int, pixels: np.ndarray, faces: Sequence[np.ndarray]) -> np.ndarray:
        """int8 ``(H, W)``, what it adds to each channel of a frame, in levels.

        Args:
            frame: its number.
            pixels: uint8 ``(H, W, 3)``.
            faces: ``(4,)`` boxes that have a searched veil.
        """
        width, height = self._size
        top, left = np.random.default_rng([self._seed, frame]).integers(0, _TILE, 2).tolist()
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        strength = np.asarray(cv2.LUT(grey, self._strength), np.float32)
        change = self._field[top : top + height, left : left + width] * strength
        return np.asarray(np.rint(change * self._share(faces)).astype(np.int8))

    def _share(self, faces: Sequence[np.ndarray]) -> np.ndarray | float:
        """``(H, W)`` float32 in [0, 1], how much of it each pixel gets; the same everywhere where no face is."""
        if not faces:
            return FAR
        width, height = self._size
        small = (max(1, -(-height // _SHRINK)), max(1, -(-width // _SHRINK)))
        boxes = torch.from_numpy(np.stack(faces).astype(np.float32)) / _SHRINK
        near = FAR + (1 - FAR) * spread_share(small, boxes, reach=_NEAR_REACH, fade=_NEAR_FADE)
        searched = spread_share(small, boxes, reach=REACH, fade=FADE)
        share = (near * (1 - (1 - ON_FACES) * searched))[0, 0].numpy()
        return np.asarray(cv2.resize(share, self._size, interpolation=cv2.INTER_LINEAR), np.float32)


def _tile(veil: Veil, scale: float, seed: int) -> np.ndarray:
    """``(T, T)`` float32: what the veil adds to flat middle grey, in levels."""
    side = max(64, round(_TILE * scale))
    grey = torch.full((1, 3, side, side), 0.5)
    flat = Canvas(grey, torch.ones(1, 1, side, side))
    with torch.no_grad():
        change = veil.render(flat, veil.random(flat, seed), AMPLITUDE) - grey
    levels = np.ascontiguousarray(change[0, 1].numpy() * 255)
    if side != _TILE:
        levels = cv2.resize(levels, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(levels, np.float32)
