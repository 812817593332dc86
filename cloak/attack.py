"""From objective to noise: the ensemble optimiser.

What decides whether an ensemble falls together (measured, see ``benchmarks/attacks.py``): each detector's
gradient is normalised by its L1 norm and weighted by how far that detector is from fooled; each step meets
another transformation, drawn by how badly it still goes; noise stays in the faces' context.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from cloak import transforms
from cloak.budget import less_colour, project, to_grey
from cloak.detectors.base import FaceDetector
from cloak.objective import decoy, displace, hide
from cloak.task import Condition, Goals, Outcome, Schedule, Task, examine, habit_of, scene
from cloak.transforms import Transform

Progress = Callable[[float], None]


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


def _windows(faces: Tensor, size: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The rows and columns of each face; everything where there is none."""
    windows = []
    for x1, y1, x2, y2 in faces.round().int().tolist():
        rows, columns = slice(max(0, y1), min(size[0], y2)), slice(max(0, x1), min(size[1], x2))
        if rows.stop > rows.start and columns.stop > columns.start:
            windows.append((rows, columns))
    return windows or [(slice(None), slice(None))]


#: A detector that is fooled everywhere is asked every so many steps.
_REST = 3


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
            if number % _REST and self._rests(detector):
                continue
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

    def _rests(self, detector: FaceDetector) -> bool:
        """Is it so well fooled everywhere that looking at it now and then will do?"""
        pairs = [(detector.name, condition.name) for condition in self.met]
        return all(self.trouble[pair] < 0.1 and pair not in self.stubborn for pair in pairs)

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
        self,
        detector: FaceDetector,
        picture: Tensor,
        place: Callable[[Tensor], Tensor],
        transform: Transform,
    ) -> tuple[Tensor, float]:
        """The loss under one transform, and how far from fooled the detector is there."""

        def moved(boxes: Tensor) -> Tensor:
            return transform.boxes(place(boxes))

        faces, zones = moved(self.task.faces), moved(self.task.zones)
        raise_decoys = bool(self.goals.decoy) and len(zones) > 0
        focus = torch.cat([faces, zones]) if raise_decoys else faces
        considered = detector.candidates(transform(picture), [focus])[0]
        hiding = hide(considered, faces)
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
            points = [moved(one.repeat(1, 2))[:, :2] for one in truth]
            loss = loss + self.goals.landmark * displace(
                considered, faces, points, share=self.goals.displacement
            )
        return loss, distance

    def _gradient(self, detector: FaceDetector, condition: Condition) -> tuple[Tensor, float]:
        """The gradient's direction, scaled to a mean of 1 per value, and how far from fooled."""
        noise = self.noise.detach().requires_grad_(True)
        picture, place = scene(self.task, detector, noise)
        picture, habit = transforms.quantise(picture), habit_of(detector)
        busy = torch.cat([self.task.faces, self.task.zones]) if self.goals.decoy else self.task.faces
        losses, distances = [], []
        for _ in range(habit.draws):
            transform = habit.shrunk(condition.draw(self.rng), place(busy), self.rng)
            loss, distance = self._loss(detector, picture, place, transform)
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
