"""A rendering: what a detector is shown of a picture, and where the picture's parts lie in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """An axis-aligned map ``(x - offset) * scale``, in pixels.

    Attributes:
        scale: across and down.
        offset: x and y of the point that becomes 0.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Where ``(N, 4)`` boxes ``x1 y1 x2 y2`` lie after the map."""
        return (boxes - boxes.new_tensor(self.offset * 2)) * boxes.new_tensor(self.scale * 2)

    def points(self, points: Tensor) -> Tensor:
        """Where points ``(..., 2)`` lie after the map."""
        return (points - points.new_tensor(self.offset)) * points.new_tensor(self.scale)

    def then(self, later: Affine) -> Affine:
        """This map, and ``later`` on its result."""
        (x, y), (across, down) = self.offset, self.scale
        return Affine(
            (across * later.scale[0], down * later.scale[1]),
            (x + later.offset[0] / across, y + later.offset[1] / down),
        )


#: Everything stays where it is.
IDENTITY = Affine()


@dataclass(frozen=True)
class Rendering:
    """Pixels that are shown to a detector, made from a patch or from the whole picture.

    Attributes:
        pixels: ``(B, 3, H, W)`` float32 RGB in [0, 1].
        frame: the frame of a video that it shows; None for pictures.
        affine: from pixels of the patch to these pixels.
    """

    pixels: Tensor
    frame: int | None = None
    affine: Affine = IDENTITY

    def with_pixels(self, pixels: Tensor) -> Rendering:
        """Other pixels of the same size at the same place."""
        return replace(self, pixels=pixels)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Where ``(N, 4)`` boxes of the patch lie in :attr:`pixels`."""
        return self.affine.boxes(boxes)
