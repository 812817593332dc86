"""From objective to noise: the ensemble optimiser.

What decides whether an ensemble falls together (measured, see ``benchmarks/attacks.py``): each detector's
gradient is normalised by its L1 norm and weighted by how far that detector is from fooled; each step meets
another transformation, drawn by how badly it still goes; noise stays in the faces' context.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cloak import transforms
from cloak.budget import less_colour, project, to_grey
from cloak.detectors.base import FaceDetector
from cloak.objective import decoy, displace, found, hide, widen
from cloak.transforms import Transform

Progress = Callable[[float], None]


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
        wide: for detectors that judge the picture as a whole: a function from noise to the whole picture,
            and the faces in it; None where ``clean`` is the whole picture.
    """

    clean: Tensor
    faces: Tensor
    limit: Tensor
    grey: bool = False
    chroma: float = 1.0
    energy: float | None = None
    zones: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    landmarks: Mapping[str, list[Tensor]] = field(default_factory=dict)
    wide: tuple[Callable[[Tensor], Tensor], Tensor] | None = None


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


def optimise(
    task: Task,
    detectors: Sequence[FaceDetector],
    met: Sequence[Condition],
    *,
    goals: Goals | None = None,
    schedule: Schedule | None = None,
    start: Tensor | None = None,
    stubborn: Collection[tuple[str, str]] = (),
    progress: Progress | None = None,
) -> Outcome:
    """Search noise within the limit that reaches the goals against every detector in every condition.

    Args:
        task: the patch.
        detectors: what to fool.
        met: the conditions under which to fool them.
        goals, schedule: see there.
        start: noise to go on from; None starts from a little random noise.
        stubborn: pairs of detector and condition that are known to need attention, whatever the exams say.
        progress: is told the share of the work done, in [0, 1].
    """
    goals, schedule = goals or Goals(), schedule or Schedule()
    best: Outcome | None = None
    made = 0
    for attempt in range(schedule.restarts + 1):
        rng = random.Random(schedule.seed * 1000 + attempt)
        search = _Search(
            task, detectors, met, goals, schedule, rng, start if attempt == 0 else None, stubborn
        )
        for step in range(schedule.steps):
            search.step(schedule, step)
            made += 1
            if progress:
                progress(made / (schedule.steps * (schedule.restarts + 1)))
            if (step + 1) % schedule.check_every == 0 or step + 1 == schedule.steps:
                beaten = search.exam()
                outcome = Outcome(search.noise, beaten, made)
                if best is None or outcome.open <= best.open:
                    best = outcome
                if outcome.open == 0 and step + 1 >= schedule.least and search.goals_reached():
                    return Outcome(search.noise, beaten, made)
        if best is not None and best.open == 0:
            break
    if best is None:
        best = Outcome(project(torch.zeros_like(task.clean), task.clean, task.limit), {}, 0)
    return Outcome(best.noise, best.beaten, made)


@torch.no_grad()
def examine(
    task: Task, noise: Tensor, detectors: Sequence[FaceDetector], met: Sequence[Condition]
) -> dict[tuple[str, str], bool]:
    """By detector and condition: does the detector, as it is used in earnest, miss every face?"""
    beaten = {}
    for detector in detectors:
        picture, faces = _scene(task, detector, noise)
        picture = transforms.quantise(picture)
        for condition in met:
            beaten[detector.name, condition.name] = not any(
                bool(found(detector.detect(exam(picture))[0], exam.boxes(faces)).any())
                for exam in condition.exams
            )
    return beaten


def _scene(task: Task, detector: FaceDetector, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What the detector gets to see, and where the faces are in it."""
    if task.wide is not None and _HABITS.get(detector.family, _Habit()).whole:
        compose, faces = task.wide
        return compose(noise), faces
    return task.clean + noise, task.faces


@dataclass(frozen=True)
class _Habit:
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


_HABITS = {"cascade": _Habit(face_side=88, context=0.5, draws=2), "blazeface": _Habit(whole=True)}


def _windows(faces: Tensor, size: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The rows and columns of each face; everything where there is none."""
    windows = []
    for x1, y1, x2, y2 in faces.round().int().tolist():
        rows, columns = slice(max(0, y1), min(size[0], y2)), slice(max(0, x1), min(size[1], x2))
        if rows.stop > rows.start and columns.stop > columns.start:
            windows.append((rows, columns))
    return windows or [(slice(None), slice(None))]


class _Search:
    """The state of one start."""

    def __init__(
        self,
        task: Task,
        detectors: Sequence[FaceDetector],
        met: Sequence[Condition],
        goals: Goals,
        schedule: Schedule,
        rng: random.Random,
        start: Tensor | None,
        stubborn: Collection[tuple[str, str]] = (),
    ) -> None:
        self.task, self.detectors, self.met, self.goals, self.rng = task, detectors, met, goals, rng
        if start is None:
            generator = torch.Generator().manual_seed(rng.randrange(2**31))
            start = (torch.rand(task.clean.shape, generator=generator) - 0.5).to(task.clean) * task.limit / 2
        self.windows = _windows(task.faces, task.clean.shape[-2:])
        self.noise = self._legal(start)
        self.velocity = torch.zeros_like(task.clean)
        self.trouble = {(d.name, c.name): 1.0 for d in detectors for c in met}
        self.stubborn = stubborn
        self.decoy_loss = 0.0

    def step(self, schedule: Schedule, number: int) -> None:
        """One step of momentum against every detector that still needs it."""
        total = torch.zeros_like(self.task.clean)
        for detector in self.detectors:
            weights = [
                1.0
                if (detector.name, c.name) in self.stubborn
                else max(self.trouble[detector.name, c.name], 0.05)
                for c in self.met
            ]
            condition = self.rng.choices(self.met, weights)[0]
            gradient, loss = self._gradient(detector, condition)
            pair = (detector.name, condition.name)
            self.trouble[pair] = 0.5 * self.trouble[pair] + 0.5 * min(1.0, loss)
            total += gradient * max(min(1.0, loss), 0.3 if pair in self.stubborn else 0.0)
        if self.task.grey:
            total = to_grey(total)
        self.velocity = schedule.momentum * self.velocity + total
        share = 0.5 + 0.5 * math.cos(math.pi * number / max(1, schedule.steps))
        size = schedule.last_step + (schedule.first_step - schedule.last_step) * share
        self.noise = self._legal(self.noise - size * self.task.limit * self._direction(schedule.softness))

    def exam(self) -> dict[tuple[str, str], bool]:
        """Which pairs are beaten; the others get the attention of the next steps."""
        beaten = examine(self.task, self.noise, self.detectors, self.met)
        for pair, missed in beaten.items():
            if not missed:
                self.trouble[pair] = 1.0
        return beaten

    def goals_reached(self) -> bool:
        """Are the goals besides hiding reached as well, as far as the last losses tell?"""
        return not self.goals.decoy or self.decoy_loss < 0.35

    def _loss(
        self, detector: FaceDetector, picture: Tensor, faces: Tensor, transform: Transform
    ) -> tuple[Tensor, float]:
        """The loss under one transform, and how far from fooled the detector is there."""
        moved, zones = transform.boxes(faces), transform.boxes(self.task.zones)
        raise_decoys = bool(self.goals.decoy) and len(zones) > 0
        focus = torch.cat([moved, zones]) if raise_decoys else moved
        considered = detector.candidates(transform(picture), [focus])[0]
        hiding = hide(considered, moved)
        # a cascade is fooled by any one stage: push where it gives way already
        loss = self.goals.hide * (hiding / (hiding.detach() + 0.05) ** 2).sum()
        distance = float(hiding.detach().min())
        if raise_decoys:
            raising = decoy(considered, zones)
            self.decoy_loss = 0.8 * self.decoy_loss + 0.2 * float(raising.detach())
            distance += self.goals.decoy * float(raising.detach())
            loss = loss + self.goals.decoy * raising
        truth = self.task.landmarks.get(detector.name)
        if self.goals.landmark and truth:
            places = [transform.boxes(points.repeat(1, 2))[:, :2] for points in truth]
            loss = loss + self.goals.landmark * displace(
                considered, moved, places, share=self.goals.displacement
            )
        return loss, distance

    def _gradient(self, detector: FaceDetector, condition: Condition) -> tuple[Tensor, float]:
        """The gradient's direction, scaled to a mean of 1 per value, and how far from fooled."""
        noise = self.noise.detach().requires_grad_(True)
        picture, faces = _scene(self.task, detector, noise)
        picture = transforms.quantise(picture)
        habit = _HABITS.get(detector.family, _Habit())
        losses, distances = [], []
        for _ in range(habit.draws):
            places = torch.cat([faces, self.task.zones.to(faces)]) if self.goals.decoy else faces
            transform = habit.shrunk(condition.draw(self.rng), places, self.rng)
            loss, distance = self._loss(detector, picture, faces, transform)
            losses.append(loss)
            distances.append(distance)
        loss = torch.stack(losses).mean()
        if not loss.requires_grad:
            return torch.zeros_like(noise), max(distances)
        (gradient,) = torch.autograd.grad(loss, noise)
        gradient = torch.nan_to_num(gradient)
        scale = gradient.abs().mean()
        return gradient / scale.clamp_min(1e-12), max(distances)

    def _direction(self, softness: float) -> Tensor:
        """The sign of the velocity, softened where it is far below the average."""
        floor = self.velocity.abs().mean() * softness
        return self.velocity / (self.velocity.abs() + floor).clamp_min(1e-12)

    def _legal(self, noise: Tensor) -> Tensor:
        noise = noise.detach()
        if self.task.grey:
            noise = to_grey(noise)
        elif self.task.chroma < 1:
            noise = less_colour(noise, self.task.chroma)
        noise = project(noise, self.task.clean, self.task.limit)
        if self.task.energy is not None:
            spent = (
                torch.stack([noise[..., rows, columns].square().mean() for rows, columns in self.windows])
                .amax()
                .sqrt()
            )
            noise = noise * (self.task.energy / spent.clamp_min(1e-9)).clamp_max(1)
        return noise
