"""What is asked of detectors in one step of a search: which detector, and what it is shown."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from cloak.attack.conditions import Condition
from cloak.attack.evaluation import whole_frame_side
from cloak.attack.frames import WholeFrame
from cloak.attack.input_policy import input_policy_of
from cloak.attack.task import Task
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.rendering import Rendering
from provenance.errors import UsageError


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

    def render(self, task: Task, *, with_clean: bool) -> tuple[Rendering, Rendering | None]:
        """What the detector is shown; and, for a fully convolutional one, the same of the clean picture.

        Args:
            task: of the search.
            with_clean: the clean picture is wanted.
        """
        policy = input_policy_of(self.detector)
        with_clean = with_clean and policy.fully_convolutional
        if self.view.patch is None:
            clean = self._whole_picture(task, torch.zeros_like(self.view.leaf)) if with_clean else None
            return self._whole_picture(task, self.view.leaf), clean
        resize = policy.resize_transform(task.picture_size, self.view.patch.affine.scale[0])
        clean = resize.render(self.view.clean) if self.view.clean is not None and with_clean else None
        return resize.render(self.view.patch.with_pixels(self.view.leaf)), clean

    def _whole_picture(self, task: Task, change: Tensor) -> Rendering:
        """The whole picture as the detector is shown it, with a change of the patch's pixels."""
        downscale = self.view.condition.downscale
        if self.whole_frame is not None:
            return self.whole_frame.show(change, whole_frame_side(task, self.detector), downscale)
        if task.full_frame is None:
            raise UsageError("this task is a patch without its picture")
        return task.full_frame.show(change, downscale)
