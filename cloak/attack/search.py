"""From objective to noise: the ensemble optimiser.

Each detector's gradient is scaled to the same size and weighted by how far that detector is from missing the faces with
margin; each step meets another transformation, drawn by how badly it still goes; noise stays in the faces' context.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from cloak.attack import transforms
from cloak.attack.budget import less_colour, project, to_grey
from cloak.attack.detector_query import Question, View
from cloak.attack.features import Recorder, familiarity
from cloak.attack.objective import decoy, displace, hide, widen
from cloak.attack.parallel import each
from cloak.attack.task import (
    Condition,
    Goals,
    Outcome,
    Schedule,
    Task,
    Wide,
    coded,
    examine,
    habit_of,
    unraised,
    wide_for,
    wide_side,
)
from cloak.attack.transforms import Transform
from cloak.detectors.base import Candidates, FaceDetector
from provenance.errors import UsageError

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
    enough: Callable[[Tensor], bool] | None = None,
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
        enough: says whether noise hides the faces in earnest, and thereby when to stop; None: the exams do, which see
            the patch alone and ask for some margin.
        progress: is told the share of the work done, in [0, 1].
    """
    goals, schedule = goals or Goals(), schedule or Schedule()
    best: Outcome | None = None
    made = 0
    for attempt in range(schedule.restarts + 1):
        rng = random.Random(schedule.seed * 1000 + attempt)
        state = _Search(task, detectors, met, goals, schedule, rng, start if attempt == 0 else None, stubborn)
        for step in range(schedule.steps):
            state.step(schedule, step)
            made += 1
            if progress:
                progress(made / (schedule.steps * (schedule.restarts + 1)))
            if (step + 1) % schedule.check_every == 0 or step + 1 == schedule.steps:
                beaten = state.exam()
                outcome = Outcome(state.noise, beaten, made)
                if best is None or outcome.open <= best.open:
                    best = outcome
                if step + 1 < schedule.least or not state.goals_reached():
                    continue
                if outcome.open == 0 if enough is None else enough(state.noise):
                    return Outcome(state.noise, beaten, made)
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


def _around(places: Tensor) -> Transform:
    """A crop to what detectors need to see around these places, on the grid of JPEG's blocks."""
    boxes = widen(places, _CONTEXT)
    left, top = (int(corner) // 16 * 16 for corner in boxes[:, :2].amin(0).tolist())
    right, bottom = (-int(-corner // 16) * 16 for corner in boxes[:, 2:].amax(0).tolist())
    return transforms.window(left, top, right, bottom)


def _placed(wide: Wide, side: int, boxes: Tensor) -> Tensor:
    """Boxes of the patch in the picture shrunk to ``side``."""
    return wide.boxes(boxes, side)


def _unit_gradient(loss: Tensor, of: Tensor, *, more: bool = False) -> Tensor:
    """The gradient scaled to a mean of 1 per value; zero where the loss does not depend on it. ``more``: another
    gradient of the same pass will be asked for.
    """
    if not loss.requires_grad:
        return torch.zeros_like(of)
    gradient = torch.nan_to_num(torch.autograd.grad(loss, of, retain_graph=more)[0])
    return gradient / gradient.abs().mean().clamp_min(1e-12)


#: How much of the surroundings detectors are shown during the search, in face sizes.
_CONTEXT = 0.4
#: Below this distance (see :func:`cloak.attack.objective.hide`) a face is missed with margin.
_ENOUGH = 0.3
#: How far a decoy's noise reaches beyond its zone, in its sizes.
_DECOY = 0.1
#: Below this distance (see :func:`cloak.attack.objective.decoy`) a decoy is seen with margin.
_RAISED = 0.35
#: A detector's weight grows by this with every step in which it still sees a face, and shrinks else.
_DEARER, _CHEAPER = 1.08, 0.93
#: No value moves further in a step than so many times the average.
_BOLDEST = 3.0
#: How often a detector is shown the whole picture where that costs little: a small picture, or a cascade, which only
#: looks where it is told to.
_ENTIRELY, _FEW_PIXELS = 0.6, 200_000
#: How it goes, to begin with, with a pair that needs no attention.
_WELL = 0.2
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
            start = (torch.rand(task.clean.shape, generator=generator) - 0.5).to(task.clean)
            start = (
                (transforms.gaussian_blur(start, schedule.smooth) if schedule.smooth else start)
                * task.limit
                / 2
            )
        # landmarks shall be moved by a known way, which a bend would falsify
        self.bend = 0.0 if goals.landmark else schedule.bend
        self.bf16 = schedule.bf16
        self.windows = _windows(task.faces, task.clean.shape[-2:])
        self.decoys = _windows(widen(task.zones, _DECOY), task.clean.shape[-2:]) if len(task.zones) else []
        self.noise = self._legal(start)
        self.velocity = torch.zeros_like(task.clean)
        pairs = [(d.name, c.name) for d in detectors for c in met]
        self.trouble = {pair: 1.0 if pair in stubborn or not stubborn else _WELL for pair in pairs}
        self.price = {d.name: 1.0 for d in detectors}
        self.stubborn = stubborn
        self.raised = {d.name: 1.0 for d in detectors} if goals.decoy and len(task.zones) else {}

    def step(self, schedule: Schedule, number: int) -> None:
        """One step of momentum against every detector that still needs it."""
        noise = self.noise.detach().requires_grad_(True)
        total = torch.zeros_like(noise)
        groups: dict[tuple[str, bool], list[FaceDetector]] = {}
        for detector in self.detectors:
            if number % _REST and self._rests(detector):
                continue
            wide = wide_side(self.task, detector) > 0
            for met in self._conditions_for(detector):
                far = wide or self._entirely(detector, met)
                groups.setdefault((met.name, far), []).append(detector)
        views: list[View] = []
        asked: dict[str, list[Question]] = {}
        for condition in self.met:
            for far in (False, True):
                if seeing := groups.get((condition.name, far)):
                    views.append(
                        self._far_view(condition, noise) if far else self._near_view(condition, noise)
                    )
                    for detector in seeing:
                        asked.setdefault(detector.name, []).append(self._question(detector, views[-1]))

        def pulls(questions: list[Question]) -> list[Tensor]:
            return [self._pull(question) for question in questions]

        for questions, answers in zip(
            asked.values(), each(pulls, asked.values(), device=noise.device), strict=True
        ):
            for question, pull in zip(questions, answers, strict=True):
                question.view.total += pull
        for view in views:
            total += view.back_to(noise)
        if self.task.grey:
            total = to_grey(total)
        if schedule.smooth:
            total = transforms.gaussian_blur(total, schedule.smooth)
        self.velocity = schedule.momentum * self.velocity + total
        share = 0.5 + 0.5 * math.cos(math.pi * number / max(1, schedule.steps))
        size = schedule.last_step + (schedule.first_step - schedule.last_step) * share
        self.noise = self._legal(self.noise - size * self.task.limit * self._direction())

    def _entirely(self, detector: FaceDetector, met: Condition) -> bool:
        """Shall it be shown the whole picture this time, rather than the surroundings of the faces, moved a little?"""
        entire = self.task.entire
        if entire is None or self.rng.random() > _ENTIRELY:
            return False
        pixels = entire.picture.shape[-1] * entire.picture.shape[-2] * met.shrink**2
        return habit_of(detector).rounds or pixels < _FEW_PIXELS

    def _conditions_for(self, detector: FaceDetector) -> list[Condition]:
        """The condition to meet next, drawn by how badly it goes; and a smaller size, while it goes badly there: that
        costs little, and is what holds out longest.
        """
        weights = [
            1.0
            if (detector.name, c.name) in self.stubborn
            else max(self.trouble[detector.name, c.name], 0.05)
            for c in self.met
        ]
        drawn = self.rng.choices(self.met, weights)[0]
        return [
            c
            for c in self.met
            if c is drawn or (c.shrink < 1 and self.trouble[detector.name, c.name] > _ENOUGH)
        ]

    def _near_view(self, condition: Condition, noise: Tensor) -> View:
        """The patch, for detectors that look at it, through one transform for all of them."""
        task = self.task
        busy = torch.cat([task.faces, task.zones]) if self.goals.decoy else task.faces
        transform = _around(busy).then(condition.draw(self.rng))
        shown = transform(transforms.quantise(task.clean + noise))
        return View(condition, shown, transform, transform(task.clean) if self.goals.features else None)

    def _far_view(self, condition: Condition, noise: Tensor) -> View:
        """The change of the patch's pixels, for detectors that look at the whole picture, encoded once for all."""
        return View(condition, coded(self.task, noise, condition))

    def _question(self, detector: FaceDetector, view: View) -> Question:
        wide = None
        if view.transform is None and wide_side(self.task, detector):
            wide = wide_for(self.task, detector).settled()
        return Question(
            detector.settled(), view, wide, random.Random(self.rng.random()) if self.bend else None
        )

    def _seen(self, question: Question) -> tuple[Tensor, Tensor | None, Callable[[Tensor], Tensor]]:
        """What the detector is shown of a view, the same of the clean picture where features count, and where boxes of
        the patch lie in it.
        """
        detector, view = question.detector, question.view
        compared = self.goals.features and habit_of(detector).convolves
        if view.transform is None:
            shown, placed = self._shown(question, view.leaf)
            return shown, self._shown(question, torch.zeros_like(view.leaf))[0] if compared else None, placed
        habit = habit_of(detector).stretched(self.task.extent, view.transform.scale)
        before = habit(view.clean) if view.clean is not None and compared else None
        return habit(view.leaf), before, view.transform.then(habit).boxes

    def _shown(self, question: Question, change: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The whole picture as this detector is shown it, and where boxes of the patch lie in it."""
        condition, wide = question.view.condition, question.wide
        if wide is not None:
            side = wide_side(self.task, question.detector)
            picture, shown = wide.show(change, side, condition.shrink)
            return picture, partial(_placed, wide, shown)
        entire = self.task.entire
        if entire is None:
            raise UsageError("this task is a patch without its picture")
        return entire.show(change, condition.shrink), partial(entire.boxes, shrink=condition.shrink)

    def _pull(self, question: Question) -> Tensor:
        """The weighted direction in the view's leaf against one detector: away from its verdict, and away from what it
        sees half-way to it, which also counts where it is fooled already: that is what carries over to others.
        """
        detector, view = question.detector, question.view
        leaf = view.leaf
        shown, clean, moved = self._seen(question)
        faces = moved(self.task.faces)
        if question.rng is not None and not habit_of(detector).rigid:
            places = torch.cat([faces, moved(self.task.zones)]) if self.goals.decoy else faces
            bend = transforms.bend(places, shown.shape[-2:], question.rng, self.bend)
            shown, clean = bend(shown), None if clean is None else bend(clean)
        now = Recorder()
        with nullcontext() if clean is None else now:
            loss, raising, distance = self._loss(detector, shown, moved)
        weight, lift = self._weight(detector, view.condition, distance), self._decoy_weight(detector)
        more = clean is not None
        direction = torch.zeros_like(leaf)
        if weight:
            direction += weight * _unit_gradient(loss, leaf, more=more or lift > 0)
        if lift:  # by itself: in one sum with hiding, whose last steps are steep, it would count for nothing
            direction += lift * _unit_gradient(raising, leaf, more=more)
        if clean is None:
            return direction
        with torch.no_grad(), Recorder() as before:
            self._considered(detector, clean, faces)
        same = familiarity(now.seen, before.seen, faces, shown.shape[-2:])
        return direction + self.goals.features * _unit_gradient(same, leaf)

    def _considered(self, detector: FaceDetector, picture: Tensor, places: Tensor) -> Candidates:
        """What the detector makes of a picture near some places, in the precision that was asked for."""
        with torch.autocast(picture.device.type, torch.bfloat16, enabled=self.bf16):
            return detector.candidates(picture, [places])[0]

    def _weight(self, detector: FaceDetector, met: Condition, distance: float) -> float:
        """How much a detector counts in this step: by how far it is from fooled, and by how long it has been."""
        pair = (detector.name, met.name)
        self.trouble[pair] = 0.5 * self.trouble[pair] + 0.5 * min(1.0, distance)
        floor = 0.3 if pair in self.stubborn else 0.0
        need = min(max((distance - _ENOUGH) / (1 - _ENOUGH), 0.0), 1.0)
        change = _DEARER if need > 0.7 else _CHEAPER
        self.price[detector.name] = min(max(self.price[detector.name] * change, 0.5), 4.0)
        return self.price[detector.name] * max(need, floor)

    def _decoy_weight(self, detector: FaceDetector) -> float:
        """How much a detector counts because of decoys that it does not see yet: less than a face that it finds."""
        missing = self.raised.get(detector.name, 0.0)
        return self.goals.decoy * min(max((missing - _ENOUGH) / (1 - _ENOUGH), 0.0), 1.0)

    def _rests(self, detector: FaceDetector) -> bool:
        """Is it so well fooled everywhere that looking at it now and then will do?"""
        if self.raised.get(detector.name, 0.0) > _ENOUGH:
            return False
        pairs = [(detector.name, condition.name) for condition in self.met]
        return all(self.trouble[pair] < _ENOUGH and pair not in self.stubborn for pair in pairs)

    def exam(self) -> dict[tuple[str, str], bool]:
        """Which pairs are beaten; the others get the attention of the next steps."""
        hopeless = {pair for pair, trouble in self.trouble.items() if trouble > 0.9}
        beaten = examine(self.task, self.noise, self.detectors, self.met, hopeless)
        for pair, missed in beaten.items():
            if not missed:
                self.trouble[pair] = 1.0
        return beaten

    def goals_reached(self) -> bool:
        """Are the goals besides hiding reached as well? A decoy that is not reported in earnest is worked on again."""
        if any(missing >= _RAISED for missing in self.raised.values()):
            return False
        if self.raised:
            for condition in self.met:
                for name, share in unraised(self.task, self.noise, self.detectors, condition).items():
                    self.raised[name] = max(self.raised[name], share)
        return all(missing < _RAISED for missing in self.raised.values())

    def _loss(
        self, detector: FaceDetector, picture: Tensor, moved: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, float]:
        """The loss for what the detector is shown, that of the decoys, and how far from fooled it is there.

        Args:
            moved: from boxes in the patch to boxes in what is shown.
        """
        faces, zones = moved(self.task.faces), moved(self.task.zones)
        raise_decoys = bool(self.goals.decoy) and len(zones) > 0
        focus = torch.cat([faces, zones]) if raise_decoys else faces
        considered = self._considered(detector, picture, focus)
        hiding = hide(considered, faces)
        # a cascade is fooled by any one stage: push where it gives way already
        loss = self.goals.hide * (hiding / (hiding.detach() + 0.05) ** 2).sum()
        distance = float(hiding.detach().min())
        raising = considered.logits.sum() * 0
        if raise_decoys:
            missing = decoy(considered, zones)
            raising = missing.mean()
            # of a cascade the stage that sees least of a face decides
            worst = float(missing.detach().amax(0).mean())
            self.raised[detector.name] = 0.7 * self.raised[detector.name] + 0.3 * worst
        truth = self.task.landmarks.get(detector.name)
        if self.goals.landmark and truth:
            points = [moved(one.repeat(1, 2))[:, :2] for one in truth]
            loss = loss + self.goals.landmark * displace(
                considered, faces, points, share=self.goals.displacement
            )
        return loss, raising, distance

    def _direction(self) -> Tensor:
        """The velocity scaled to a root mean square of 1 where noise may be; no value beyond :data:`_BOLDEST`.

        What a face may be changed is bounded by energy rather than by the largest change, so steps are longer where
        more is gained: at equal PSNR more falls than with the velocity's sign.
        """
        allowed = self.velocity * (self.task.limit > 0)
        share = (self.task.limit > 0).float().mean().clamp_min(1e-6)
        size = (allowed.square().mean() / share).sqrt().clamp_min(1e-12)
        return (allowed / size).clamp(-_BOLDEST, _BOLDEST)

    def _legal(self, noise: Tensor) -> Tensor:
        noise = noise.detach()
        if self.task.grey:
            noise = to_grey(noise)
        elif self.task.chroma < 1:
            plainer = less_colour(noise, self.task.chroma)
            for rows, columns in self.decoys:  # it is on skin that colour shows
                plainer[..., rows, columns] = noise[..., rows, columns]
            noise = plainer
        noise = project(noise, self.task.clean, self.task.limit)
        if self.task.energy is not None:
            # each decoy within the same bound, but by itself: faces that are over it must not cost the decoys theirs
            shares = [_share(noise, [window], self.task.energy) for window in self.decoys]
            whole = noise * _share(noise, self.windows, self.task.energy)
            for (rows, columns), share in zip(self.decoys, shares, strict=True):
                whole[..., rows, columns] = noise[..., rows, columns] * share
            noise = whole
        return noise


def _share(noise: Tensor, windows: Sequence[tuple[slice, slice]], energy: float) -> Tensor:
    """What noise must be multiplied by so that its root mean square is at most ``energy`` in each window; at most 1."""
    spent = torch.stack([noise[..., rows, columns].square().mean() for rows, columns in windows])
    return (energy / spent.amax().sqrt().clamp_min(1e-9)).clamp_max(1)
