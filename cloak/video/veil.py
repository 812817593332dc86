"""A veil on one window of a film.

Its parameters are searched for the key frame, as those of a picture are, and what it adds there moves with the face as
plain noise does (:mod:`cloak.video.flow`). A window goes on with what the window before had: parameters are fitted to
that change. The ceiling of visibility holds in every frame that the search is shown.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cloak.attack.noise_change import Change
from cloak.attack.task import Schedule, Task
from cloak.picture.rounds import NOISE_FACE_SIDE, VEIL_FACE_SIDE
from cloak.pixels import MAX_DISPLAY_SIDE, to_tensor
from cloak.strength import Strength
from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas, Veil, luminance
from cloak.veils.grain import spread_share
from cloak.veils.search import VeilChange
from cloak.veils.visibility import CEILINGS, Ceiling, Visibility
from cloak.video.flow import moved_tensor
from cloak.video.patches import FrameSample, PatchGeometry

#: How far a veil reaches beyond a face, and over how much it fades, in face sizes: no further than the patch does.
REACH, FADE = 0.2, 0.4
#: No value of a veil moves by more levels than this; what limits it is how much of it is seen.
MOST_LEVELS = 127
#: Share of the ceiling that what is searched may use up: the rest is for the grain that moves over it.
_OWN_SHARE = 0.97
#: Steps in which parameters are fitted to the change of the window before.
_FIT_STEPS = 16
#: A change is made weaker so often at most, until the ceiling holds in every frame.
_HOLD_TRIES = 5
#: A control may be stronger than a searched veil, so that as much of it is seen.
_MOST_RANDOM = 0.3


def face_side(look: VeilName, *, fast: bool) -> int:
    """A face is worked on at no more pixels than this; grain has to be fine."""
    return NOISE_FACE_SIDE if look is VeilName.NOISE or fast else VEIL_FACE_SIDE


def display_scale(size: tuple[int, int]) -> float:
    """The size at which frames of ``size`` are shown to detectors and people, divided by their own."""
    return min(1.0, MAX_DISPLAY_SIDE / max(size))


@dataclass(frozen=True)
class WindowVeil:
    """A veil, what it is laid on, and how much of it may be seen.

    Attributes:
        veil: the renderer; in films it changes brightness alone, for an encoder halves the colours' resolution.
        canvas: the patch in the key frame.
        visibility: of the face there.
        ceiling: of the strength.
        face: ``(1, 4)`` where the face is in the patch.
    """

    veil: Veil
    canvas: Canvas
    visibility: Visibility
    ceiling: Ceiling
    face: Tensor

    @classmethod
    def of(
        cls, look: VeilName, level: Strength, place: PatchGeometry, clean: Tensor, shown: float
    ) -> WindowVeil | None:
        """For a patch; None for plain noise.

        Args:
            look: which veil.
            level: how much of it may be seen.
            place: the patch.
            clean: ``(1, 3, h, w)`` in [0, 1], its pixels.
            shown: :func:`display_scale` of the film.
        """
        veil = veil_of(look, grey=True)
        if veil is None:
            return None
        face = place.face.to(clean.device)
        pixel = shown * place.width / place.work[1]
        canvas = Canvas(clean, patch_share(place).to(clean.device), pixel)
        return cls(veil, canvas, Visibility(clean, face, pixel), CEILINGS[level], face)

    def begin(self, task: Task, schedule: Schedule, rng: random.Random, start: Tensor | None) -> Change:
        """What :func:`cloak.attack.search.optimise` searches, from ``start`` where there is one."""
        change = VeilChange(
            self.veil,
            self.canvas,
            self.visibility,
            self.ceiling,
            steps=schedule.steps,
            seed=schedule.seed,
        )
        if start is not None:
            self._fit(change, start)
        return change

    @torch.no_grad()
    def held(self, noise: Tensor, samples: Sequence[FrameSample]) -> Tensor:
        """The change ``(1, 3, h, w)`` of the key frame, made weaker until the ceiling holds in every sampled frame."""
        views = []
        for sample in samples:
            clean = to_tensor(sample.clean, str(noise.device))
            views.append((clean, sample.grid, Visibility(clean, self.face, self.canvas.pixel)))
        for _ in range(_HOLD_TRIES):
            worst = max(
                seen.share((clean + moved_tensor(noise, grid, 1.0)).clamp(0, 1), self.ceiling)
                for clean, grid, seen in views
            )
            if worst <= _OWN_SHARE:
                break
            noise = noise * (_OWN_SHARE / worst) ** 1.2
        return noise

    @torch.no_grad()
    def random(self, noise: Tensor, seed: int) -> Tensor:
        """The control: the same veil with parameters that nobody searched, as visible on the face as ``noise`` is."""
        picture = (self.canvas.clean + noise).clamp(0, 1)
        face = max(float(one) for one, _ in self.visibility.errors(picture))
        parameters = self.veil.random(self.canvas, seed)
        amplitude = self.visibility.fit(
            lambda amplitude: self.veil.render(self.canvas, parameters, amplitude),
            [Ceiling(max(face, 1e-3), 1.0, _MOST_RANDOM)],
            [0.05],
            tries=8,
        )[0]
        return self.veil.render(self.canvas, parameters, amplitude) - self.canvas.clean

    def _fit(self, change: VeilChange, wanted: Tensor) -> None:
        """Parameters whose change is nearest to a wanted one, by steps of Adam on the mean square of the rest."""
        canvas, veil = self.canvas, self.veil
        with torch.no_grad():
            usual = veil.render(canvas, veil.random(canvas, 0), change.amplitude) - canvas.clean
            ratio = luminance(wanted).square().mean() / luminance(usual).square().mean().clamp_min(1e-12)
        amplitude = min(_MOST_RANDOM, max(1e-3, change.amplitude * float(ratio.sqrt())))
        parameters = torch.zeros_like(change.parameters).requires_grad_(True)
        adam = torch.optim.Adam([parameters], lr=veil.pace)
        for _ in range(_FIT_STEPS):
            adam.zero_grad()
            made = veil.render(canvas, parameters, amplitude) - canvas.clean
            (luminance(made - wanted).square().mean() / amplitude**2).backward()  # type: ignore[no-untyped-call]
            adam.step()
        with torch.no_grad():
            change.parameters = veil.settle(canvas, parameters.detach())
        change.amplitudes = [min(amplitude, change.amplitude * 1.5)]


def patch_share(place: PatchGeometry) -> Tensor:
    """``(1, 1, h, w)`` in [0, 1], how much of the veil each working pixel of a patch gets."""
    return spread_share(place.work, place.face, reach=REACH, fade=FADE)


def to_levels(noise: Tensor) -> np.ndarray:
    """``(1, 3, h, w)`` in shares of the whole range as int8 ``(h, w, 3)`` levels of 255."""
    levels = (noise[0] * 255).round().clamp(-MOST_LEVELS, MOST_LEVELS)
    whole: np.ndarray = levels.to(torch.int8).permute(1, 2, 0).cpu().numpy()
    return whole


def to_noise(levels: np.ndarray, device: str = "cpu") -> Tensor:
    """The other way round."""
    channels_first = np.ascontiguousarray(levels.transpose(2, 0, 1)).astype(np.float32)
    return torch.from_numpy(channels_first)[None].to(device) / 255
