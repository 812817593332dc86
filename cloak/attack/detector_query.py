"""What is asked of detectors in one step of a search: who looks, and at what."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from cloak.attack.task import Condition, Wide
from cloak.attack.transforms import Transform
from cloak.detectors.base import FaceDetector


class View:
    """What detectors are shown in one step under one condition; each of them adds its direction to ``total``.

    Attributes:
        condition: the way the picture reaches them.
        leaf: what their directions are wanted for: the patch after ``transform``, or where that is None the change of
            its pixels, which the whole picture is shown with.
        clean: the patch without noise after ``transform``; None where it is not asked for.
    """

    def __init__(
        self,
        condition: Condition,
        made: Tensor,
        transform: Transform | None = None,
        clean: Tensor | None = None,
    ) -> None:
        self.condition, self.transform, self.clean, self._made = condition, transform, clean, made
        self.leaf = made.detach().requires_grad_(True)
        self.total = torch.zeros_like(self.leaf)

    def back_to(self, noise: Tensor) -> Tensor:
        """What of ``total`` reaches the noise that the view was made of."""
        if self._made is noise:
            return self.total
        (gradient,) = torch.autograd.grad(self._made, noise, self.total)
        return gradient


@dataclass(frozen=True)
class Question:
    """One look of one detector.

    Attributes:
        detector, view: who looks, and at what.
        wide: the whole picture that it is shown small; None where it is shown something else.
        rng: of how the faces are bent; None where they are not.
    """

    detector: FaceDetector
    view: View
    wide: Wide | None
    rng: random.Random | None
