"""What is asked of detectors in one step of a search: which detector, and what it is shown."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from cloak.attack.conditions import Condition
from cloak.attack.frames import WholeFrame
from cloak.detectors.base import FaceDetector
from cloak.detectors.rendering import Rendering


class TransformedView:
    """What detectors are shown in one step under one condition. The gradients of all of them are added up here.

    Attributes:
        condition: how the picture reaches them.
        patch: the patch with noise after a transform of the condition; None where ``leaf`` is the change of the
            patch's pixels, which the whole picture is shown with.
        leaf: the tensor that gradients are taken of: the pixels of ``patch``, or that change.
        clean: the patch without noise after the same transform; None where it is not asked for.
        gradient: of all detectors' losses in ``leaf``.
    """

    def __init__(
        self,
        condition: Condition,
        made: Tensor,
        patch: Rendering | None = None,
        clean: Rendering | None = None,
    ) -> None:
        self.condition, self.patch, self.clean, self._made = condition, patch, clean, made
        self.leaf = made.detach().requires_grad_(True)
        self.gradient = torch.zeros_like(self.leaf)

    def noise_gradient(self, noise: Tensor) -> Tensor:
        """The gradient in the noise that the view was made of."""
        if self._made is noise:
            return self.gradient
        (gradient,) = torch.autograd.grad(self._made, noise, self.gradient)
        return gradient


@dataclass(frozen=True)
class DetectorQuery:
    """One question to one detector.

    Attributes:
        detector, view: which detector, and what it is shown.
        whole_frame: the whole picture that it is shown small; None where it is shown something else.
        rng: of how the faces are warped; None where they are not.
    """

    detector: FaceDetector
    view: TransformedView
    whole_frame: WholeFrame | None
    rng: random.Random | None
