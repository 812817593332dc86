"""What is asked of detectors in one step of a search: who looks, and at what."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from cloak.attack.task import Condition, WholeFrame
from cloak.attack.transforms import Transform
from cloak.detectors.base import FaceDetector


class TransformedView:
    """What detectors are shown in one step under one condition; each of them adds its direction to ``gradient``.

    Attributes:
        condition: the way the picture reaches them.
        leaf: what their directions are wanted for: the patch after ``transform``, or where that is None the change of
            its pixels, which the whole picture is shown with.
        clean: the patch without noise after ``transform``; None where it is not asked for.
    """

    def __init__(
        self,
        condition: Condition,
        rendered: Tensor,
        transform: Transform | None = None,
        clean: Tensor | None = None,
    ) -> None:
        self.condition, self.transform, self.clean, self._rendered = condition, transform, clean, rendered
        self.leaf = rendered.detach().requires_grad_(True)
        self.gradient = torch.zeros_like(self.leaf)

    def noise_gradient(self, noise: Tensor) -> Tensor:
        """What of ``gradient`` reaches the noise that the view was made of."""
        if self._rendered is noise:
            return self.gradient
        (gradient,) = torch.autograd.grad(self._rendered, noise, self.gradient)
        return gradient


@dataclass(frozen=True)
class DetectorQuery:
    """One look of one detector.

    Attributes:
        detector, view: who looks, and at what.
        whole_frame: the whole picture that it is shown small; None where it is shown something else.
        rng: of how the faces are bent; None where they are not.
    """

    detector: FaceDetector
    view: TransformedView
    whole_frame: WholeFrame | None
    rng: random.Random | None
