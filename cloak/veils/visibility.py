"""How much of a veil a person sees, and how much of that they mind.

Two measures, both with ceilings for each strength:

* **FLIP** (:mod:`cloak.veils.flip`) on the crop of each face, and on its surroundings: how much of the change is
  noticed.
* **Dislike**: how much of it looks like a fault rather than like a photograph. FLIP does not tell fine grain from spots
  on the skin; people do. Four things are counted, each in units of what an attentive person begins to see:

  - *mottle*: slow changes of brightness on the face (the change seen through a Gaussian of 3 pixels at screen size),
    where grain of the same strength has next to nothing;
  - *folds*: the part of the change at two scales whose orientation agrees over a neighbourhood more than grain's does,
    which the eye reads as wrinkles, stripes or labyrinths (coherence of the structure tensor, Bigun & Granlund 1987);
  - *specks*: what is darker than its surroundings by more than 20 levels, seen through a Gaussian of one pixel, as soot
    is and grain of the same strength next to never;
  - *tint*: slow changes of colour on the face in L*a*b*, what makes skin look bruised.

Random grain at a FLIP of .15 has a dislike of about 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.transforms import gaussian_blur
from cloak.strength import Strength
from cloak.veils.base import luminance
from cloak.veils.flip import PIXELS_PER_DEGREE, Flip
from cloak.veils.grain import nearness

#: How far the surroundings of a face reach, in its sides.
SURROUNDINGS = 0.6
#: Faces of so many pixels as shown, and larger ones, have a ceiling's whole amplitude.
_LARGE_FACE = 200.0
#: Gaussian sigmas, in pixels as shown, at which folds are looked for; their neighbourhood is so many times larger.
FOLD_SCALES, FOLD_WINDOW = (1.5, 3.0), 3.0
#: Coherence that isotropic grain has at these scales.
GRAIN_COHERENCE = (0.08, 0.06)
#: The most that random grain has of it in places, for the loss.
_USUAL_COHERENCE = 0.1
_MOTTLE_SIGMA, _MOTTLE_SEEN = 3.0, 3.0  # pixels; levels of 255
#: Of the loss: sigmas of the slow part and of its neighbourhood in pixels as shown, and that of a grain.
_MOTTLE_SCALES, _MOTTLE_WINDOW, _GRAIN_SIGMA = (2.0, 4.0), 8.0, 0.6
#: Distances, in pixels as shown, at which a change is compared with itself; the sigma of the neighbourhood; twice the
#: square of a correlation that random grain has there by chance.
_LAGS = (
    *((step, 0) for step in (2, 3, 5, 7)),
    *((0, step) for step in (2, 3, 5, 7)),
    *((step, step) for step in (2, 3, 5)),
    *((step, -step) for step in (2, 3, 5)),
    *((4, 2), (2, 4), (4, -2), (2, -4)),
)
_REPEATS_WINDOW, _USUAL_REPEATS = 5.0, 0.012
_FOLDS_SEEN = 1.5  # levels of 255
#: Sigmas of a speck and of its surroundings in pixels as shown; levels of 255 that grain reaches too, and of the rest.
_SPECK_SIGMAS, _SPECK_LEVELS, _SPECKS_SEEN = (1.0, 8.0), 20.0, 0.5
_TINT_SIGMA, _TINT_SEEN = 4.0, 2.3  # pixels; distance in L*a*b* that is just noticed (Mahy et al. 1994)


@dataclass(frozen=True)
class Ceiling:
    """The most that may be seen of a veil.

    Attributes:
        face, surroundings: mean FLIP of each face's crop, and of what is around it.
        amplitude: of the veil. FLIP sees little of grain that is as fine as the search likes it; beyond this it looks
            like pebbles, whatever FLIP says.
    """

    face: float
    surroundings: float
    amplitude: float = 1.0

    def share(self, used: float) -> Ceiling:
        """A part of this ceiling."""
        return Ceiling(self.face * used, self.surroundings * used, self.amplitude * used)

    def for_side(self, side: float) -> Ceiling:
        """For a face of ``side`` pixels as shown: grains are as large on a small face as on a large one, so that eyes
        and mouth drown in them where they are as strong.
        """
        weaker = min(1.0, (side / _LARGE_FACE) ** 0.45)
        return replace(self, amplitude=self.amplitude * weaker, face=self.face * weaker**0.4)


CEILINGS = {
    Strength.LOW: Ceiling(0.10, 0.13, 0.105),
    Strength.MID: Ceiling(0.14, 0.18, 0.15),
    Strength.HIGH: Ceiling(0.21, 0.24, 0.21),
}


@dataclass(frozen=True)
class Dislike:
    """How much of a change looks like a fault, each in units of what is just seen."""

    mottle: float
    folds: float
    tint: float
    specks: float

    @property
    def total(self) -> float:
        """The root of the sum of squares."""
        return float((self.mottle**2 + self.folds**2 + self.tint**2 + self.specks**2) ** 0.5)


class Visibility:
    """What is seen of a veil on the faces of one picture.

    Args:
        clean: ``(1, 3, H, W)`` in [0, 1].
        faces: ``(N, 4)`` ``x1 y1 x2 y2`` in pixels.
        shown: pixels of the picture as it is shown for each pixel here, at least 1.
    """

    def __init__(self, clean: Tensor, faces: Tensor, shown: float = 1.0) -> None:
        height, width = clean.shape[-2:]
        #: Of each face, in pixels as shown.
        self.sides: list[float] = ((faces[:, 2:] - faces[:, :2]).amax(1) * shown).tolist()
        self._near = nearness((height, width), faces)
        self._parts: list[tuple[tuple[slice, slice], tuple[slice, slice], Flip]] = []
        for x1, y1, x2, y2 in faces.tolist():
            reach = SURROUNDINGS * max(x2 - x1, y2 - y1)
            outer = _rectangle(x1 - reach, y1 - reach, x2 + reach, y2 + reach, height, width)
            inner = _rectangle(x1, y1, x2, y2, height, width)
            rows, columns = outer
            within = tuple(
                slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
            )
            flip = Flip(clean[..., rows, columns], PIXELS_PER_DEGREE / shown)
            self._parts.append((outer, (within[0], within[1]), flip))

    def errors(self, picture: Tensor, power: float = 1.0) -> list[tuple[Tensor, Tensor]]:
        """For each face the mean of FLIP to a power, on its crop and on its surroundings; gradients pass."""
        result = []
        for (rows, columns), within, flip in self._parts:
            seen = flip.error_map(picture[..., rows, columns])[0, 0] ** power
            face = seen[within]
            rest = (seen.sum() - face.sum()) / max(1, seen.numel() - face.numel())
            result.append((face.mean(), rest))
        return result

    def loss(self, picture: Tensor) -> Tensor:
        """A scalar to be kept small. FLIP is concave in the change, so its mean would rather have a few large spots;
        its square spreads the change evenly, as grain is spread.
        """
        return torch.stack([face + 1.5 * rest for face, rest in self.errors(picture, 2.0)]).sum()

    @torch.no_grad()
    def shares(self, picture: Tensor, ceilings: Sequence[Ceiling]) -> list[float]:
        """For each face the share of its ceiling that is used up; above 1 the veil shows too much."""
        return [
            max(float(face) / ceiling.face, float(rest) / ceiling.surroundings)
            for (face, rest), ceiling in zip(self.errors(picture), ceilings, strict=True)
        ]

    def share(self, picture: Tensor, ceiling: Ceiling) -> float:
        """The largest share that is used up where all faces have the same ceiling."""
        return max(self.shares(picture, [ceiling] * len(self.sides)))

    def spread(self, amplitudes: Sequence[float]) -> Tensor:
        """One amplitude for each face as a map ``(1, 1, H, W)``, which passes smoothly from face to face."""
        values = self._near.new_tensor(list(amplitudes)).view(-1, 1, 1, 1)
        return (self._near * values).sum(0, keepdim=True)

    def fit(
        self,
        render: Callable[[Tensor], Tensor],
        ceilings: Sequence[Ceiling],
        start: Sequence[float],
        *,
        tries: int = 3,
    ) -> list[float]:
        """The amplitude on each face at which a veil just stays under that face's ceiling.

        Args:
            render: the veil at a map of amplitudes, see :meth:`spread`.
            ceilings, start: for each face what may be seen, and the amplitude to begin with.
        """
        amplitudes = [min(one, most.amplitude) for one, most in zip(start, ceilings, strict=True)]
        for _ in range(tries):
            settled = True
            used = self.shares(render(self.spread(amplitudes)), ceilings)
            for place, (share, most) in enumerate(zip(used, ceilings, strict=True)):
                if 0.97 <= share <= 1.0 or (share < 1 and amplitudes[place] == most.amplitude):
                    continue
                settled = False
                amplitudes[place] = min(most.amplitude, amplitudes[place] * (1 / max(share, 1e-3)) ** 1.3)
            if settled:
                break
        return amplitudes


def coherence(change: Tensor, sigma: float, *, pixel: float = 1.0) -> tuple[Tensor, Tensor]:
    """How far the orientation of a change agrees over a neighbourhood, and how strong it is there.

    Args:
        change: ``(1, 1, H, W)`` of brightness.
        sigma: the scale, in pixels as shown.
        pixel: pixels as shown for each pixel here.

    Returns:
        ``(1, 1, H - 2, W - 2)`` each: coherence in [0, 1], and the energy of the gradient at this scale.
    """
    smooth = gaussian_blur(change, sigma / pixel)
    across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    tensor = torch.cat([across.square(), down.square(), across * down], 1)
    a, b, c = gaussian_blur(tensor, FOLD_WINDOW * sigma / pixel).chunk(3, 1)
    energy = a + b + 1e-12
    return ((a - b).square() + 4 * c.square()) / energy.square(), energy


def folds_loss(change: Tensor, *, pixel: float = 1.0) -> Tensor:
    """Coherence beyond that of grain, over the scales, weighted by energy: next to 0 for random grain."""
    values = []
    for sigma in FOLD_SCALES:
        agree, energy = coherence(change, sigma, pixel=pixel)
        values.append(((agree - _USUAL_COHERENCE).clamp_min(0) * energy).mean() / energy.mean())
    return torch.stack(values).sum()


def mottle_loss(change: Tensor, *, pixel: float = 1.0) -> Tensor:
    """Energy of the slow part of a change of brightness, beyond what random grain of its strength there has."""
    total = gaussian_blur(change.square(), _MOTTLE_WINDOW / pixel).detach()
    values = []
    for sigma in _MOTTLE_SCALES:
        slow = gaussian_blur(gaussian_blur(change, sigma / pixel).square(), _MOTTLE_WINDOW / pixel)
        usual = total * _GRAIN_SIGMA**2 / (sigma**2 + _GRAIN_SIGMA**2)
        values.append((slow - usual).clamp_min(0).mean() * sigma)
    return torch.stack(values).sum()


def repeats_loss(change: Tensor, *, pixel: float = 1.0) -> Tensor:
    """How much a change is like itself a few pixels away, beyond what random grain is: rings, lattices, worms.

    The square of the local autocorrelation at :data:`_LAGS`, over a Gaussian, weighted by energy.
    """
    energy = gaussian_blur(change.square(), _REPEATS_WINDOW / pixel)
    weight = energy.detach() / energy.detach().mean().clamp_min(1e-12)
    floor = 0.05 * energy.detach().mean()
    values = []
    for across, down in _LAGS:
        shift = (round(down / pixel), round(across / pixel))
        product = gaussian_blur(change * torch.roll(change, shift, (2, 3)), _REPEATS_WINDOW / pixel)
        agree = (product / (energy + floor)).square()
        values.append(((agree - _USUAL_REPEATS).clamp_min(0) * weight).mean())
    return torch.stack(values).sum()


def _below(change: Tensor) -> Tensor:
    """By how much each place is darker than its surroundings; 0 where it is brighter."""
    near, far = (gaussian_blur(change, sigma) for sigma in _SPECK_SIGMAS)
    return (far - near).clamp_min(0)


@torch.no_grad()
def dislike(clean: np.ndarray, cloaked: np.ndarray) -> Dislike:
    """How much of the change of a face's crop looks like a fault.

    Args:
        clean, cloaked: ``(H, W, 3)`` uint8 crops of the same face, as shown.
    """
    before, after = (_tensor(one) for one in (clean, cloaked))
    change = luminance(after - before)
    slow = gaussian_blur(change, _MOTTLE_SIGMA) * 255
    mottle = float((slow - slow.mean()).square().mean().sqrt())
    strongest = 0.0
    for sigma, usual in zip(FOLD_SCALES, GRAIN_COHERENCE, strict=True):
        if min(change.shape[-2:]) < 4:
            continue
        agree, _ = coherence(change, sigma)
        seen = gaussian_blur(change * 255, sigma)[..., 1:-1, 1:-1]
        strongest = max(strongest, float(((agree - usual).clamp_min(0) * seen.square()).mean().sqrt()))
    colours = gaussian_blur(_lab(after) - _lab(before), _TINT_SIGMA)[:, 1:]
    tint = float(colours.square().sum(1).mean().sqrt())
    specks = float((_below(change) * 255 - _SPECK_LEVELS).clamp_min(0).square().mean().sqrt())
    return Dislike(mottle / _MOTTLE_SEEN, strongest / _FOLDS_SEEN, tint / _TINT_SEEN, specks / _SPECKS_SEEN)


def _rectangle(x1: float, y1: float, x2: float, y2: float, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns, at least one of each, inside the picture."""
    top, left = min(max(0, int(y1)), height - 1), min(max(0, int(x1)), width - 1)
    bottom, right = min(height, -int(-y2 // 1)), min(width, -int(-x2 // 1))
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))[None].float() / 255


def _lab(pictures: Tensor) -> Tensor:
    """sRGB as L*a*b* under D65, by OpenCV."""
    import cv2

    pixels = np.ascontiguousarray(pictures[0].permute(1, 2, 0).numpy())
    lab = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))
    return torch.from_numpy(lab.transpose(2, 0, 1).copy())[None]
