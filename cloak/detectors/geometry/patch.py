"""A patch: a rectangle of a picture that is worked on at a scale of its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Patch:
    """A rectangle of the picture and the faces in it.

    Attributes:
        left, top, right, bottom: in pixels of the picture, right and bottom exclusive.
        height, width: the size it is worked on, at most that of the rectangle.
        faces: which faces of the picture it is responsible for.
    """

    left: int
    top: int
    right: int
    bottom: int
    height: int
    width: int
    faces: tuple[int, ...]

    @property
    def scale(self) -> float:
        """Working pixels per picture pixel, at most 1."""
        return self.width / (self.right - self.left)

    def to_working_size(self, part: Tensor) -> Tensor:
        """``(B, 3, bottom - top, right - left)``, the rectangle cut out, at the working size."""
        return _resized(part, self.height, self.width)

    def boxes(self, boxes: Tensor) -> Tensor:
        """``(N, 4)`` boxes of the picture in working pixels."""
        return (boxes - boxes.new_tensor([self.left, self.top, self.left, self.top])) * self.scale

    def to_picture_size(self, noise: Tensor) -> Tensor:
        """Noise of the working size ``(1, 3, height, width)`` as noise of the rectangle's, in all its detail: linear
        weights would take a third of fine grain away, which the search does not see.
        """
        size = (self.right - self.left, self.bottom - self.top)
        if noise.shape[-2:] == (size[1], size[0]):
            return noise
        layers = np.ascontiguousarray(noise[0].permute(1, 2, 0).cpu().numpy())
        larger = cv2.resize(layers, size, interpolation=cv2.INTER_LANCZOS4)
        return torch.from_numpy(larger).permute(2, 0, 1)[None].to(noise)


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    if pictures.shape[-2:] == (height, width):
        return pictures
    return functional.interpolate(
        pictures, size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
