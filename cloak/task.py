"""What a search works on, and the ways by which a published picture may reach a detector."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cloak import transforms
from cloak.detectors.base import FaceDetector
from cloak.objective import found, widen
from cloak.transforms import Transform


@dataclass(frozen=True)
class Condition:
    """A way the published picture may reach a detector.

    Attributes:
        name: what reports call it.
        draw: a transform of this kind, for a step of the optimisation.
        exams: transforms of this kind; the condition is beaten when a detector misses the faces in all.
    """

    name: str
    draw: Callable[[random.Random], Transform]
    exams: tuple[Transform, ...]


def conditions(quality: int | None, *, subsample: bool = True, slide: int = 24) -> list[Condition]:
    """As published, after JPEG 75, and at half size.

    Args:
        quality: the JPEG (or similar) quality the picture is published at; None for lossless.
        subsample: whether that encoder halves the chroma.
        slide: detectors sample the picture on grids; the patch slides by up to so many pixels against them, as
            it does when it is looked at inside its picture.
    """
    published = transforms.identity() if quality is None else transforms.jpeg(quality, subsample=subsample)
    half, box = transforms.resize(0.5), transforms.resize(0.5, mode="area")

    def moved(rng: random.Random) -> Transform:
        return transforms.shift(rng.randrange(0, slide), rng.randrange(0, slide))

    def seen(rng: random.Random) -> Transform:
        return published.then(moved(rng))

    def recompressed(rng: random.Random) -> Transform:
        return transforms.jpeg(rng.randrange(60, 86)).then(moved(rng))

    def halved(rng: random.Random) -> Transform:
        factor = rng.choice((0.42, 0.5, 0.5, 0.5, 0.58, 0.7))
        smaller = moved(rng).then(transforms.resize(factor, mode=rng.choice(("bilinear", "area"))))
        return published.then(smaller) if rng.random() < 0.5 else smaller

    slides = [transforms.shift(*(round(slide * part) for part in parts)) for parts in _SLIDES]
    return [
        Condition("published", seen, (published, *(published.then(move) for move in slides))),
        Condition("jpeg75", recompressed, (transforms.jpeg(75), transforms.jpeg(75).then(slides[0]))),
        Condition("half", halved, (published.then(box), published.then(slides[1]).then(half))),
    ]


#: Shares of the slide, across and down, that exams look at.
_SLIDES = ((0.29, 0.63), (0.71, 0.21), (0.5, 0.92))


@dataclass(frozen=True)
class Wide:
    """The whole picture around a patch.

    Attributes:
        compose: from noise of the patch to ``(1, 3, H, W)``, the whole picture with it.
        boxes: from ``(N, 4)`` boxes in pixels of the patch to pixels of the whole.
    """

    compose: Callable[[Tensor], Tensor]
    boxes: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """One patch to work on.

    Attributes:
        clean: ``(1, 3, H, W)`` in [0, 1].
        faces: ``(N, 4)`` faces to hide, in pixels of ``clean``.
        limit: ``(1, 1, H, W)`` or ``(1, 3, H, W)``, the largest change of each pixel.
        grey: all channels must change alike.
        zones: ``(N, 4)`` where decoys shall be seen.
        landmarks: by detector name, for each face ``(K, 2)`` landmarks in the clean picture.
        chroma: share of the search's changes of colour that is kept; changes of brightness are kept whole.
            Large blotches of colour on skin are what the eye minds most.
        energy: the largest root mean square of the noise over the faces, in [0, 1]; None for no such bound.
        wide: the whole picture, for detectors that judge it as a whole; None where ``clean`` is all of it.
    """

    clean: Tensor
    faces: Tensor
    limit: Tensor
    grey: bool = False
    chroma: float = 1.0
    energy: float | None = None
    zones: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    landmarks: Mapping[str, list[Tensor]] = field(default_factory=dict)
    wide: Wide | None = None


@dataclass(frozen=True)
class Goals:
    """How much each objective counts; hiding always wins over decoys."""

    hide: float = 1.0
    decoy: float = 0.0
    landmark: float = 0.0
    displacement: float = 0.15


@dataclass(frozen=True)
class Schedule:
    """How long and how boldly to search.

    Attributes:
        steps: at most so many steps for each start.
        least: steps before the search may stop.
        restarts: further starts, from other noise, while something is not beaten.
        check_every: steps between looks at what is beaten; the search stops once everything is.
        first_step, last_step: step sizes as shares of the limit; between them half a cosine.
        momentum: of the gradient.
        softness: below this share of the average, a pixel's step is smaller than the full step.
        seed: of every random choice.
    """

    steps: int = 60
    least: int = 0
    restarts: int = 0
    check_every: int = 10
    first_step: float = 0.25
    last_step: float = 0.03
    momentum: float = 0.9
    softness: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What the search ended with.

    Attributes:
        noise: ``(1, 3, H, W)`` within the task's limit.
        beaten: by detector name and condition name: are all faces missed?
        steps: how many steps were made, all starts together.
    """

    noise: Tensor
    beaten: dict[tuple[str, str], bool]
    steps: int

    @property
    def open(self) -> int:
        """How many pairs of detector and condition still see a face."""
        return sum(not beaten for beaten in self.beaten.values())


@dataclass(frozen=True)
class Habit:
    """How a family of detectors is best asked.

    Attributes:
        face_side: faces need be no larger than this for it, in pixels; 0: as they are. A cascade shrinks what
            it judges to 12, 24 and 48 pixels anyway, and the pyramid levels for smaller faces cost most.
        context: it needs to see no more than this around the faces, in face sizes; 0: the whole patch.
        draws: how many transforms are averaged in a step.
        whole: it shrinks the whole picture to one small size, so it must be shown the whole picture.
    """

    face_side: int = 0
    context: float = 0.0
    draws: int = 1
    whole: bool = False

    def shrunk(self, transform: Transform, places: Tensor, rng: random.Random) -> Transform:
        """The transform, followed by a crop to the faces' context and a resize to about the wanted size."""
        if not self.face_side or not len(places):
            return transform
        if self.context:
            boxes = widen(transform.boxes(places), self.context)
            left, top = boxes[:, :2].amin(0).int().tolist()
            right, bottom = boxes[:, 2:].amax(0).ceil().int().tolist()
            transform = transform.then(transforms.window(left, top, right, bottom))
        side = float((places[:, 2:] - places[:, :2]).amax()) * transform.scale
        factor = self.face_side * rng.uniform(0.8, 1.25) / max(side, 1.0)
        return transform if factor >= 0.9 else transform.then(transforms.resize(factor))


HABITS = {"cascade": Habit(face_side=88, context=0.5, draws=2), "blazeface": Habit(whole=True)}


def habit_of(detector: FaceDetector) -> Habit:
    """How this detector is best asked."""
    return HABITS.get(detector.family, Habit())


@torch.no_grad()
def examine(
    task: Task, noise: Tensor, detectors: Sequence[FaceDetector], met: Sequence[Condition]
) -> dict[tuple[str, str], bool]:
    """By detector and condition: does the detector, as it is used in earnest, miss every face?"""
    beaten = {}
    for detector in detectors:
        picture, place = scene(task, detector, noise)
        picture, faces = transforms.quantise(picture), place(task.faces)
        for condition in met:
            beaten[detector.name, condition.name] = not any(
                bool(found(detector.detect(exam(picture))[0], exam.boxes(faces)).any())
                for exam in condition.exams
            )
    return beaten


def scene(task: Task, detector: FaceDetector, noise: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """What the detector gets to see, and a function that says where boxes of the patch are in it."""
    if task.wide is not None and habit_of(detector).whole:
        return task.wide.compose(noise), task.wide.boxes
    return task.clean + noise, lambda boxes: boxes
