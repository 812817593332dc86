"""How a veil is searched: detectors pull one way, what a person sees pulls the other.

In each step the detectors' gradient of the picture meets four others, each at a fixed share of its size: that of FLIP
(squared, so that the change is spread evenly), of folds, of mottle and of repeats (:mod:`cloak.veils.visibility`).
Their sum moves the veil's parameters by a step of Adam (Kingma & Ba, ICLR 2015); then the parameters are settled into
what looks like the veil, and now and then the amplitude is set so that FLIP just stays under its ceiling. Where hardly
anything pulls, parameters stay random: Adam divides by a gradient's own size, and would otherwise make as much of a
trace of it far from the face as of what hides the face.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cloak.veils.base import Canvas, Veil, luminance
from cloak.veils.names import VeilName
from cloak.veils.visibility import Ceiling, Visibility, folds_loss, mottle_loss, repeats_loss


@dataclass(frozen=True)
class Taste:
    """How much each way of being seen counts in a step, beside the detectors' 1."""

    flip: float = 0.5
    folds: float = 0.4
    mottle: float = 0.15
    repeats: float = 0.7


#: The amplitude is set anew every so many steps.
_FIT_EVERY = 6
_MOMENTUM, _SQUARES = 0.9, 0.99
#: Parameters with gradients below this share of their root mean square move less than a whole step.
_QUIET = 0.5
#: While the detector that holds out longest is nearer to evaded than the first, some of the ceiling is given back in
#: each step; while it is further than the second, it is taken again; so much of it is kept in any case.
_EASY, _HARD, _GIVEN_BACK, _LEAST_USED = 0.25, 0.5, 0.97, 0.85
#: FLIP pulls less by the first factor after a fit that finds the amplitude at its ceiling and FLIP below the last
#: number's share of its own, more by the second after any other, and never by less than the third of its weight.
_LESS_PULL, _MORE_PULL, _LEAST_PULL, _MOSTLY = 0.5, 1.5, 0.25, 0.95
#: A search of few steps takes steps up to so many times as long; one of so many steps takes none that are longer.
_LONGEST_STRIDE, _MANY_STEPS = 2.0, 32
#: A search starts from this share of random parameters; the rest of the budget is the search's.
_START = 0.4


class VeilChange:
    """A veil on one patch while it is searched, a :class:`cloak.attack.noise_change.Change`.

    Args:
        veil: what is searched.
        canvas: what it is laid on.
        visibility: of the faces on that canvas.
        ceiling: what may be seen.
        steps: of a round, along which steps get shorter.
        seed: of the parameters that the search starts from.
        taste: see there.
    """

    def __init__(
        self,
        veil: Veil,
        canvas: Canvas,
        visibility: Visibility,
        ceiling: Ceiling,
        *,
        steps: int,
        seed: int = 0,
        taste: Taste | None = None,
    ) -> None:
        self.veil, self.canvas, self.visibility, self.ceiling = veil, canvas, visibility, ceiling
        # light is slow, so that it is like itself everywhere
        usual = Taste(repeats=0.0) if veil.name is VeilName.LIGHT else Taste()
        self.steps, self.taste = steps, taste or usual
        self.parameters = _START * veil.random(canvas, seed)
        self._ceilings = [ceiling.for_side(side) for side in visibility.sides]
        #: On each face.
        self.amplitudes = [0.04] * len(self._ceilings)
        self._first = torch.zeros_like(self.parameters)
        self._second = torch.zeros_like(self.parameters)
        self._made = 0
        self._shown: Tensor | None = None
        self._pull = 1.0
        self._stride = min(_LONGEST_STRIDE, max(1.0, _MANY_STEPS / max(1, steps)))
        #: Share of its ceiling that each face uses.
        self.used = [1.0] * len(self._ceilings)
        self._fit()

    @property
    def amplitude(self) -> float:
        """On the face that has the least."""
        return min(self.amplitudes)

    @property
    def noise(self) -> Tensor:
        """``(1, 3, H, W)``, what the veil adds to the canvas."""
        return self._picture().detach() - self.canvas.clean

    def _picture(self) -> Tensor:
        """The canvas under the veil; its gradient reaches the parameters."""
        if self._shown is None:
            self.parameters.requires_grad_(True)
            with torch.enable_grad():
                self._shown = self.veil.render(
                    self.canvas, self.parameters, self.visibility.spread(self.amplitudes)
                )
        return self._shown

    def update(self, gradient: Tensor, number: int, residuals: Sequence[float]) -> None:
        """Move against the gradient ``(1, 3, H, W)`` of what the detectors make of the picture, and give back what a
        face does not need while its residual, of the detector that holds out longest there, is small.
        """
        for place, residual in enumerate(residuals):
            if residual < _EASY:
                self.used[place] = max(_LEAST_USED, self.used[place] * _GIVEN_BACK)
            elif residual > _HARD:
                self.used[place] = min(1.0, self.used[place] / _GIVEN_BACK)
        picture = self._picture()
        leaf = picture.detach().requires_grad_(True)
        change = luminance(leaf - self.canvas.clean)
        pixel = self.canvas.pixel
        pulls: list[tuple[float, Callable[[], Tensor]]] = [
            (self.taste.flip, lambda: self.visibility.loss(leaf)),
            (self.taste.folds, lambda: folds_loss(change * self.canvas.share, pixel=pixel)),
            (self.taste.mottle, lambda: mottle_loss(change * self.canvas.share, pixel=pixel)),
            (self.taste.repeats, lambda: repeats_loss(change * self.canvas.share, pixel=pixel)),
        ]
        total = gradient
        size = gradient.norm()
        for place, (weight, loss) in enumerate(pulls):
            if weight:
                (pull,) = torch.autograd.grad(loss(), leaf, retain_graph=True)
                felt = weight * (1.0 if place else self._pull)
                total = total + felt * size / pull.norm().clamp_min(1e-12) * pull
        (moved,) = torch.autograd.grad(picture, self.parameters, total)
        self._shown = None
        self._step(moved, number)
        if number + 1 == self.steps:
            self.finish()
        elif number % _FIT_EVERY == _FIT_EVERY - 1:
            self._fit()

    def finish(self) -> None:
        """Set the amplitude once more, with care: the veil is written as it is now."""
        self._fit(tries=8)

    def _step(self, gradient: Tensor, number: int) -> None:
        self._made += 1
        self._first = _MOMENTUM * self._first + (1 - _MOMENTUM) * gradient
        self._second = _SQUARES * self._second + (1 - _SQUARES) * gradient.square()
        first = self._first / (1 - _MOMENTUM**self._made)
        second = self._second / (1 - _SQUARES**self._made)
        share = 0.3 + 0.7 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, number / max(1, self.steps))))
        quiet = _QUIET * second.mean((2, 3), keepdim=True).sqrt()
        moved = self.parameters.detach() - self.veil.pace * self._stride * share * first / (
            second.sqrt() + quiet + 1e-12
        )
        with torch.no_grad():
            self.parameters = self.veil.settle(self.canvas, moved)

    @torch.no_grad()
    def _rendered(self, amplitude: Tensor) -> Tensor:
        return self.veil.render(self.canvas, self.parameters, amplitude)

    def _fit(self, tries: int = 3) -> None:
        self._shown = None
        most = [ceiling.share(used) for ceiling, used in zip(self._ceilings, self.used, strict=True)]
        self.amplitudes = self.visibility.fit(self._rendered, most, self.amplitudes, tries=tries)
        # where grain is as strong as it may be and FLIP is not, FLIP need not pull so much
        unused = (
            self._made > 0
            and all(one >= face.amplitude for one, face in zip(self.amplitudes, most, strict=True))
            and max(self.visibility.shares(self._rendered(self.visibility.spread(self.amplitudes)), most))
            < _MOSTLY
        )
        self._pull = min(1.0, max(_LEAST_PULL, self._pull * (_LESS_PULL if unused else _MORE_PULL)))
