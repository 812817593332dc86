"""What every veil is: a picture that is rendered from a clean one, parameters and an amplitude.

A veil changes how a picture looks in a way that photographs look anyway: grain, light, black and white. The search
moves its parameters against detectors; a budget of visibility (:mod:`cloak.veils.visibility`) sets its amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cloak.veils.names import VeilName

#: Weights of red, green and blue in brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Canvas:
    """What a veil is laid on.

    Attributes:
        clean: ``(1, 3, H, W)`` in [0, 1]: the picture that the veil changes, and is compared with.
        share: ``(1, 1, H, W)`` in [0, 1]: how much of the veil each pixel gets.
        pixel: pixels of the picture as it is shown for each pixel here, at least 1.
    """

    clean: Tensor
    share: Tensor
    pixel: float = 1.0


class Veil(Protocol):
    """A differentiable renderer."""

    @property
    def name(self) -> VeilName: ...

    @property
    def pace(self) -> float:
        """How far a step of the search moves a parameter."""
        ...

    def random(self, canvas: Canvas, seed: int) -> Tensor:
        """Parameters that nobody searched: what the veil looks like by itself, and the control of every figure."""
        ...

    def settle(self, canvas: Canvas, parameters: Tensor) -> Tensor:
        """The nearest parameters that still look like this veil; called after every step, without gradients."""
        ...

    def render(self, canvas: Canvas, parameters: Tensor, amplitude: float | Tensor) -> Tensor:
        """``(1, 3, H, W)`` in [0, 1]; at an amplitude of 0 the clean picture. Gradients reach the parameters.

        The amplitude is the same everywhere, or a map ``(1, 1, H, W)``.
        """
        ...


def luminance(pictures: Tensor) -> Tensor:
    """``(B, 1, H, W)`` brightness (BT.601) of ``(B, 3, H, W)`` pictures."""
    return (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def normal(shape: tuple[int, ...], seed: int, like: Tensor) -> Tensor:
    """Standard normal values, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(like)
