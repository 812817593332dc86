"""The whole picture around a patch, as detectors are shown it: shrunk to a square, or at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from cloak.detectors.geometry.rendering import Affine, Rendering

#: Where a detector is shown so many times the side that it uses, it makes no difference how the picture was shrunk
#: before.
_MAX_REDUCTION = 3


@dataclass(frozen=True)
class WholeFrame:
    """The whole picture around a patch, padded to a square and shrunk, for detectors that do so themselves.

    Attributes:
        render: from noise of the patch ``(1, 3, h, w)`` and the side of the square to a rendering of
            ``(1, 3, side, side)``; a third argument, true, shrinks by averaging over areas, as pictures are shrunk
            before they are published.
        display_side: side of the square before the detector shrinks it, in pixels; 0 where only the final side
            matters.
        top_left: the same with the picture in the square's upper left corner; None where only the middle is at hand.
        successor: the next of several frames that are shown in turns; None where there is only this one.
    """

    render: Callable[..., Rendering]
    display_side: int = 0
    top_left: WholeFrame | None = None
    successor: Callable[[], WholeFrame] | None = None

    def next_frame(self) -> WholeFrame:
        """The frame to show now: the next one where frames are shown in turns."""
        return self.successor() if self.successor else self

    def side_for(self, side: int, downscale: float) -> int:
        """The side at which a detector that shrinks to ``side`` is shown the picture."""
        shown = round(self.display_side * downscale)
        return shown if downscale < 1 and 0 < shown < _MAX_REDUCTION * side else side

    def show(self, change: Tensor, side: int, downscale: float) -> Rendering:
        """What a detector is shown that shrinks to ``side``.

        Args:
            change: of the patch's pixels, ``(1, 3, h, w)``.
            side: of the detector's own input, in pixels.
            downscale: size at which the picture is published, in shares of its own.
        """
        shown = self.side_for(side, downscale)
        if downscale < 1 and shown == round(self.display_side * downscale):
            return self.render(change, shown, True)
        return self.render(change, shown)


@dataclass(frozen=True)
class FullResolutionFrame:
    """The whole picture at the patch's scale, for detectors whose result on a face depends on where the picture ends:
    a cascade rounds the sizes of its pyramid and its crops to whole pixels.

    Attributes:
        picture: ``(1, 3, H, W)`` in [0, 1], with the noise of the other patches.
        left, top: where the patch lies in it.
    """

    picture: Tensor
    left: int
    top: int

    def show(self, change: Tensor, downscale: float) -> Rendering:
        """The picture with the patch's pixels changed, averaged down to ``downscale`` of its size."""
        height, width = self.picture.shape[-2:]
        borders = (
            self.left,
            width - self.left - change.shape[-1],
            self.top,
            height - self.top - change.shape[-2],
        )
        shown = (self.picture + functional.pad(change, borders)).clamp(0, 1)
        if downscale != 1:
            size = (max(1, round(height * downscale)), max(1, round(width * downscale)))
            shown = functional.interpolate(shown, size=size, mode="area")
        return Rendering(shown, None, Affine((downscale, downscale), (-self.left, -self.top)))
