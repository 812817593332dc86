"""The whole picture, small, for detectors that judge it as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from cloak.judge import scaled, to_tensor
from cloak.regions import Patch
from cloak.task import Wide

#: More than the largest input of a detector that shrinks the whole picture.
LONGEST = 512


class WideView:
    """The picture with its longer side at most :data:`LONGEST`."""

    def __init__(self, pixels: np.ndarray, device: str) -> None:
        self.scale = min(1.0, LONGEST / max(pixels.shape[:2]))
        self.clean = to_tensor(pixels if self.scale == 1.0 else scaled(pixels, self.scale), device)

    def around(self, patch: Patch, others: Sequence[tuple[Patch, Tensor]]) -> Wide:
        """This view with the noise of the other patches in it, ready for that of ``patch``."""
        ground = self.clean.clone()
        for other, noise in others:
            self._add(ground, other, noise.detach())

        def compose(noise: Tensor) -> Tensor:
            view = ground.clone()
            self._add(view, patch, noise)
            return view

        def boxes(inside: Tensor) -> Tensor:
            corner = inside.new_tensor([patch.left, patch.top, patch.left, patch.top])
            placed: Tensor = (inside / patch.scale + corner) * self.scale
            return placed

        return Wide(compose, boxes)

    def _add(self, view: Tensor, patch: Patch, noise: Tensor) -> None:
        left = min(round(patch.left * self.scale), view.shape[-1] - 1)
        top = min(round(patch.top * self.scale), view.shape[-2] - 1)
        right = min(view.shape[-1], max(left + 1, round(patch.right * self.scale)))
        bottom = min(view.shape[-2], max(top + 1, round(patch.bottom * self.scale)))
        size = (bottom - top, right - left)
        if tuple(noise.shape[-2:]) != size:
            noise = functional.interpolate(
                noise, size=size, mode="bilinear", antialias=True, align_corners=False
            )
        view[..., top:bottom, left:right] += noise
