"""A patch: a rectangle of a picture that is worked on at a scale of its own."""

from __future__ import annotations

from dataclasses import dataclass

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
        """Noise of the working size as noise of the rectangle's size."""
        return _resized(noise, self.bottom - self.top, self.right - self.left)


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    if pictures.shape[-2:] == (height, width):
        return pictures
    return functional.interpolate(
        pictures, size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
