"""``light``: soft light and shadow, as if leaves or a curtain stood between a lamp and the face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cloak.veils.base import Canvas, normal
from cloak.veils.names import VeilName

_GAMMA = 2.2
#: The root mean square of a field is kept at least so large; a random one has .7.
_LEAST = 0.6


@dataclass(frozen=True)
class Light:
    """A slow field of exposure, in stops, over the picture: all channels alike in linear light, so colours stay.

    Attributes:
        pitch: distance of the field's knots in shares of the shorter side of what is lit.
    """

    pitch: float = 0.09
    name: VeilName = VeilName.LIGHT
    pace: float = 0.12

    def random(self, canvas: Canvas, seed: int) -> Tensor:
        height, width = canvas.clean.shape[-2:]
        knot = max(2.0, self.pitch * min(height, width))
        return 0.7 * normal(
            (1, 1, max(3, round(height / knot)), max(3, round(width / knot))), seed, canvas.clean
        )

    def settle(self, canvas: Canvas, parameters: Tensor) -> Tensor:
        # the amplitude says how strong the light is; parameters that fade away would leave none
        strength = parameters.square().mean().sqrt().clamp_min(1e-6)
        return (parameters * (_LEAST / strength).clamp_min(1)).clamp(-1.5, 1.5)

    def render(self, canvas: Canvas, parameters: Tensor, amplitude: float | Tensor) -> Tensor:
        field = functional.interpolate(
            torch.tanh(parameters), size=canvas.clean.shape[-2:], mode="bicubic", align_corners=False
        )
        gain = torch.pow(2.0, amplitude * 10 * field * canvas.share / _GAMMA)
        return (canvas.clean * gain).clamp(0, 1)
