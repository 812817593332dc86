"""From objective to noise: the ensemble optimiser.

The gradient of each detector is scaled to the same size and weighted by how far the detector is from missing the faces
with margin. Each step samples another transformation; conditions in which faces are still found are sampled more often.
Noise stays within the context of the faces.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from cloak.attack import transforms
from cloak.attack.budget import project
from cloak.attack.conditions import Condition
from cloak.attack.detector_query import DetectorQuery, TransformedView
from cloak.attack.evaluation import (
    encoded_change,
    evaluate_noise,
    missed_decoys,
    whole_frame_for,
    whole_frame_side,
)
from cloak.attack.features import FeatureRecorder, feature_similarity
from cloak.attack.input_policy import input_policy_of
from cloak.attack.noise_change import Change, NoiseChange
from cloak.attack.objective import decoy_loss, hiding_by_face, landmark_loss
from cloak.attack.task import Goals, Schedule, SearchResult, Task
from cloak.attack.transforms import Transform
from cloak.detectors.base import Candidates, FaceDetector
from cloak.detectors.geometry.matching import expand_boxes
from cloak.detectors.geometry.rendering import Rendering
from cloak.parallel import map_parallel

Progress = Callable[[float], None]


def optimise(
    task: Task,
    detectors: Sequence[FaceDetector],
    conditions: Sequence[Condition],
    *,
    goals: Goals | None = None,
    schedule: Schedule | None = None,
    start: Tensor | None = None,
    unresolved: Collection[tuple[str, str]] = (),
    stop_when: Callable[[Tensor], bool] | None = None,
    progress: Progress | None = None,
    begin: Callable[[Task, Schedule, random.Random, Tensor | None], Change] = NoiseChange,
) -> SearchResult:
    """Search noise within the limit that reaches the goals against every detector in every condition.

    Args:
        task: the patch.
        detectors: the detectors to evade.
        conditions: under which they are to be evaded.
        goals, schedule: objectives and duration; defaults of their classes.
        start: noise to go on from; None starts from a little random noise.
        unresolved: pairs of detector and condition that still find a face in the encoded picture.
        stop_when: given the noise, whether to stop; None stops when every evaluation transform is evaded.
        progress: called with the share of the work done, in [0, 1].
        begin: makes what is searched, from the task, the schedule, the source of random choices, and ``start``.
    """
    goals, schedule = goals or Goals(), schedule or Schedule()
    best: SearchResult | None = None
    steps_done = 0
    for attempt in range(schedule.restarts + 1):
        rng = random.Random(schedule.seed * 1000 + attempt)
        change = begin(task, schedule, rng, start if attempt == 0 else None)
        state = _Search(task, detectors, conditions, goals, schedule, rng, change, unresolved)
        for step in range(schedule.steps):
            state.step(schedule, step)
            steps_done += 1
            if progress:
                progress(steps_done / (schedule.steps * (schedule.restarts + 1)))
            if not schedule.check_every:
                if step + 1 == max(schedule.min_steps, schedule.steps // 3):
                    state.press_hold_outs()
                if step + 1 == max(schedule.min_steps, 2 * schedule.steps // 3) and state.none_falls():
                    state.change.finish()
                    break
            looks = schedule.look_every and step + 1 < schedule.steps and not (step + 1) % schedule.look_every
            if looks and stop_when:
                state.change.finish()
                if stop_when(state.noise):
                    break
            if schedule.check_every and (
                (step + 1) % schedule.check_every == 0 or step + 1 == schedule.steps
            ):
                evaded = state.evaluate()
                result = SearchResult(state.noise, evaded, steps_done)
                if best is None or result.unresolved_count <= best.unresolved_count:
                    best = result
                if step + 1 < schedule.min_steps or not state.other_goals_reached():
                    continue
                if result.unresolved_count == 0 if stop_when is None else stop_when(state.noise):
                    return SearchResult(state.noise, evaded, steps_done)
        if not schedule.check_every:  # the encoded picture will tell
            best = SearchResult(state.noise, {}, steps_done)
            break
        if best is not None and best.unresolved_count == 0:
            break
    if best is None:
        best = SearchResult(project(torch.zeros_like(task.clean), task.clean, task.limit), {}, 0)
    return SearchResult(best.noise, best.evaded, steps_done)


def _crop_around(places: Tensor) -> Transform:
    """A crop to what detectors need to see around these places, on the grid of JPEG's blocks."""
    boxes = expand_boxes(places, _CONTEXT)
    left, top = (int(corner) // 16 * 16 for corner in boxes[:, :2].amin(0).tolist())
    right, bottom = (-int(-corner // 16) * 16 for corner in boxes[:, 2:].amax(0).tolist())
    return transforms.crop(left, top, right, bottom)


def _unit_gradient(loss: Tensor, of: Tensor, *, retain_graph: bool = False) -> Tensor:
    """The gradient of a loss, scaled to a mean absolute value of 1; zero where the loss does not depend on the tensor.

    Args:
        loss: a scalar.
        of: the tensor.
        retain_graph: keep the graph for another gradient.
    """
    if not loss.requires_grad:
        return torch.zeros_like(of)
    gradient = torch.nan_to_num(torch.autograd.grad(loss, of, retain_graph=retain_graph)[0])
    return gradient / gradient.abs().mean().clamp_min(1e-12)


#: Margin around the faces in the crop that detectors are shown during the search, in face sizes.
_CONTEXT = 0.4
#: Below this distance (see :func:`cloak.attack.objective.hiding_by_face`) a face is missed with margin.
_EVADED_DISTANCE = 0.3
#: Below this distance (see :func:`cloak.attack.objective.decoy_loss`) a decoy is seen with margin.
_RAISED_DISTANCE = 0.35
#: Factors of a detector's loss weight for each step in which it still finds a face, and for each other step, and the
#: most that it becomes.
_WEIGHT_GROWTH, _WEIGHT_DECAY, _MOST_WEIGHT = 1.08, 0.93, 4.0
#: A detector that is further from evaded than this share of its first distance has not fallen; so much of what was
#: remembered of it is kept in each step.
_STANDING, _REMEMBERED = 0.9, 0.8
#: Probability that a detector is shown the full frame where that costs little: where the picture has at most so many
#: pixels, or for a cascade, which evaluates only the places it is given.
_FULL_FRAME_PROBABILITY, _FULL_FRAME_MAX_PIXELS = 0.6, 200_000
#: Sizes of faces in views that are shrunk, in shares of the largest that is asked for.
_SMALLER = (0.6, 1.0)
#: Initial residual of a pair that is not known to be unresolved.
_INITIAL_RESIDUAL = 0.2
#: A detector that is evaded in every condition is asked every so many steps only.
_EVADED_INTERVAL = 3


class _Search:
    """The state of one start of the search."""

    def __init__(
        self,
        task: Task,
        detectors: Sequence[FaceDetector],
        conditions: Sequence[Condition],
        goals: Goals,
        schedule: Schedule,
        rng: random.Random,
        change: Change,
        unresolved: Collection[tuple[str, str]] = (),
    ) -> None:
        self.task, self.detectors, self.conditions, self.goals, self.rng = (
            task,
            detectors,
            conditions,
            goals,
            rng,
        )
        # a warp would change by how far landmarks are displaced
        self.warp = 0.0 if goals.landmark else schedule.warp
        self.bf16 = schedule.bf16
        self.least_weight = schedule.least_weight
        self.face_side = schedule.face_side
        self.change = change
        pairs = [(d.name, c.name) for d in detectors for c in conditions]
        self.residual = {
            pair: 1.0 if pair in unresolved or not unresolved else _INITIAL_RESIDUAL for pair in pairs
        }
        #: By detector how far it was from evaded at first, and lately. Residuals end at 1: a detector that finds the
        #: face for certain falls long before they tell.
        self.distances: dict[str, tuple[float, float]] = {}
        self.loss_weight = {d.name: 1.0 for d in detectors}
        self.most_weight = {d.name: _MOST_WEIGHT for d in detectors}
        self.face_residual = {d.name: torch.ones(len(task.faces)).to(task.clean) for d in detectors}
        self.unresolved = unresolved
        self.decoy_residual = {d.name: 1.0 for d in detectors} if goals.decoy and len(task.zones) else {}

    def step(self, schedule: Schedule, number: int) -> None:
        """One step of momentum against every detector that is not evaded yet."""
        noise = self.noise.detach().requires_grad_(True)
        gradient_sum = torch.zeros_like(noise)
        detectors_by_view: dict[tuple[str, bool], list[FaceDetector]] = {}
        for detector in self._asked(number):
            sees_whole_frame = whole_frame_side(self.task, detector) > 0
            for condition in self._conditions_for(detector):
                is_whole_frame = sees_whole_frame or self._uses_full_frame(detector, condition)
                detectors_by_view.setdefault((condition.name, is_whole_frame), []).append(detector)
        views: list[TransformedView] = []
        queries_by_detector: dict[str, list[DetectorQuery]] = {}
        for condition in self.conditions:
            for is_whole_frame in (False, True):
                if seeing := detectors_by_view.get((condition.name, is_whole_frame)):
                    views.append(
                        self._whole_frame_view(condition, noise)
                        if is_whole_frame
                        else self._patch_view(condition, noise)
                    )
                    for detector in seeing:
                        queries_by_detector.setdefault(detector.name, []).append(
                            self._query(detector, views[-1])
                        )

        def gradients(queries: list[DetectorQuery]) -> list[Tensor]:
            return [self._gradient(query) for query in queries]

        for queries, answers in zip(
            queries_by_detector.values(),
            map_parallel(gradients, queries_by_detector.values(), device=noise.device),
            strict=True,
        ):
            for query, gradient in zip(queries, answers, strict=True):
                query.view.gradient += gradient
        for view in views:
            gradient_sum += view.noise_gradient(noise)
        self.change.update(gradient_sum, number, self._residuals())

    def _asked(self, number: int) -> list[FaceDetector]:
        """The detectors that are asked in a step: those that are evaded in every condition rest in two of three, where
        they still count by turns, and where they do not all together, which makes these steps cheap.
        """
        apart = 1 if self.least_weight else 0
        return [
            one
            for place, one in enumerate(self.detectors)
            if (number + place * apart) % _EVADED_INTERVAL == 0 or not self._is_evaded(one)
        ]

    @property
    def noise(self) -> Tensor:
        return self.change.noise

    def _residuals(self) -> list[float]:
        """For each face and then each decoy how far the detector that holds out longest there is from evaded, on
        average over the latest steps.
        """
        faces = [0.0] * len(self.task.faces)
        if self.face_residual and faces:
            faces = torch.stack(list(self.face_residual.values())).amax(0).tolist()
        return faces + [max(self.decoy_residual.values(), default=1.0)] * len(self.task.zones)

    def _uses_full_frame(self, detector: FaceDetector, condition: Condition) -> bool:
        """Whether the detector is shown the full frame in this step, instead of a shifted crop around the faces."""
        full_frame = self.task.full_frame
        if full_frame is None or self.rng.random() > _FULL_FRAME_PROBABILITY:
            return False
        pixels = full_frame.picture.shape[-1] * full_frame.picture.shape[-2] * condition.downscale**2
        return input_policy_of(detector).border_sensitive or pixels < _FULL_FRAME_MAX_PIXELS

    def _conditions_for(self, detector: FaceDetector) -> list[Condition]:
        """The conditions of this step: one sampled by its residual, and in addition smaller sizes that are unresolved,
        which cost little and are evaded last.
        """
        weights = [
            1.0
            if (detector.name, c.name) in self.unresolved
            else max(self.residual[detector.name, c.name], 0.05)
            for c in self.conditions
        ]
        drawn = self.rng.choices(self.conditions, weights)[0]
        return [
            c
            for c in self.conditions
            if c is drawn
            or (
                not self.least_weight
                and c.downscale < 1
                and self.residual[detector.name, c.name] > _EVADED_DISTANCE
            )
        ]

    def _patch_view(self, condition: Condition, noise: Tensor) -> TransformedView:
        """The patch after one random transform, for all detectors that are shown patches."""
        task = self.task
        places = torch.cat([task.faces, task.zones]) if self.goals.decoy else task.faces
        transform = self._smaller(_crop_around(places).then(condition.random_transform(self.rng)))
        shown = transform.render(Rendering(transforms.quantise(task.clean + noise)))
        clean = transform.render(Rendering(task.clean)) if self.goals.features else None
        return TransformedView(condition, shown.pixels, shown, clean)

    def _smaller(self, transform: Transform) -> Transform:
        """The transform, and in every second view of large faces a reduction: most detectors shrink them anyway."""
        if not self.face_side or not len(self.task.faces):
            return transform
        boxes = transform.boxes(self.task.faces)
        largest = float((boxes[:, 2:] - boxes[:, :2]).amax())
        if largest <= self.face_side or self.rng.random() < 0.5:
            return transform
        return transform.then(transforms.resize(self.face_side / largest * self.rng.uniform(*_SMALLER)))

    def _whole_frame_view(self, condition: Condition, noise: Tensor) -> TransformedView:
        """The change of the patch's pixels after encoding, for all detectors that are shown the whole picture."""
        return TransformedView(condition, encoded_change(self.task, noise, condition))

    def _query(self, detector: FaceDetector, view: TransformedView) -> DetectorQuery:
        whole_frame = None
        if view.patch is None and whole_frame_side(self.task, detector):
            whole_frame = whole_frame_for(self.task, detector)
        return DetectorQuery(
            detector, view, whole_frame, random.Random(self.rng.random()) if self.warp else None
        )

    def _gradient(self, query: DetectorQuery) -> Tensor:
        """The weighted gradient of one detector's losses in the view's leaf.

        The loss on features of middle layers also counts where the face is missed already: it transfers to other
        detectors.
        """
        leaf = query.view.leaf
        shown, clean = query.render(self.task, with_clean=bool(self.goals.features))
        detector = query.detector.for_rendering(shown)
        faces = shown.boxes(self.task.faces)
        if query.rng is not None and not input_policy_of(detector).fixed_geometry:
            places = torch.cat([faces, shown.boxes(self.task.zones)]) if self.goals.decoy else faces
            warp = transforms.warp(places, shown.pixels.shape[-2:], query.rng, self.warp)
            shown, clean = warp.render(shown), None if clean is None else warp.render(clean)
        features = FeatureRecorder()
        with nullcontext() if clean is None else features:
            loss, decoys_loss, distance = self._loss(detector, shown)
        weight, decoy_weight = (
            self._weight(detector, query.view.condition, distance),
            self._decoy_weight(detector),
        )
        retain_graph = clean is not None
        direction = torch.zeros_like(leaf)
        if weight:
            direction += weight * _unit_gradient(loss, leaf, retain_graph=retain_graph or decoy_weight > 0)
        if decoy_weight:  # scaled by itself: the hiding loss is far steeper near its end
            direction += decoy_weight * _unit_gradient(decoys_loss, leaf, retain_graph=retain_graph)
        if clean is None:
            return direction
        with torch.no_grad(), FeatureRecorder() as clean_features:
            self._candidates(detector, clean.pixels, faces)
        similarity = feature_similarity(features.seen, clean_features.seen, faces, shown.pixels.shape[-2:])
        return direction + self.goals.features * _unit_gradient(similarity, leaf)

    def _candidates(self, detector: FaceDetector, picture: Tensor, places: Tensor) -> Candidates:
        """The detector's candidates near some places, in the precision of the schedule."""
        with torch.autocast(picture.device.type, torch.bfloat16, enabled=self.bf16):
            return detector.candidates(picture, [places])[0]

    def _weight(self, detector: FaceDetector, condition: Condition, distance: float) -> float:
        """The loss weight of a detector in this step: by how far it is from evaded, and for how long it has been."""
        pair = (detector.name, condition.name)
        self.residual[pair] = 0.5 * self.residual[pair] + 0.5 * min(1.0, distance)
        first, lately = self.distances.get(detector.name, (distance, distance))
        self.distances[detector.name] = first, _REMEMBERED * lately + (1 - _REMEMBERED) * distance
        least = self.least_weight * (_EVADED_INTERVAL if self._is_evaded(detector) else 1)
        floor = max(0.3 if pair in self.unresolved else 0.0, least)
        need = min(max((distance - _EVADED_DISTANCE) / (1 - _EVADED_DISTANCE), 0.0), 1.0)
        change = _WEIGHT_GROWTH if need > 0.7 else _WEIGHT_DECAY
        self.loss_weight[detector.name] = min(
            max(self.loss_weight[detector.name] * change, 0.5), self.most_weight[detector.name]
        )
        return self.loss_weight[detector.name] * max(need, floor)

    def _decoy_weight(self, detector: FaceDetector) -> float:
        """The weight of decoys that the detector does not report yet; smaller than that of a face that it finds."""
        missing = self.decoy_residual.get(detector.name, 0.0)
        return self.goals.decoy * min(max((missing - _EVADED_DISTANCE) / (1 - _EVADED_DISTANCE), 0.0), 1.0)

    def _is_evaded(self, detector: FaceDetector) -> bool:
        """Whether the detector is evaded with margin in every condition."""
        if self.decoy_residual.get(detector.name, 0.0) > _EVADED_DISTANCE:
            return False
        pairs = [(detector.name, condition.name) for condition in self.conditions]
        return all(self.residual[pair] < _EVADED_DISTANCE and pair not in self.unresolved for pair in pairs)

    def _hold_outs(self) -> list[str]:
        """The detectors that find a face about as well as before."""
        return [
            name
            for name, (first, lately) in self.distances.items()
            if lately > max(_STANDING * first, _EVADED_DISTANCE)
        ]

    def press_hold_outs(self) -> None:
        """From now on detectors that have not fallen at all count twice as much as others can."""
        for name in self._hold_outs():
            self.most_weight[name] = 2 * _MOST_WEIGHT
            self.loss_weight[name] = 2 * _MOST_WEIGHT

    def none_falls(self) -> bool:
        """Whether no detector at all has fallen: more steps are not worth their time then."""
        return len(self._hold_outs()) == len(self.detectors) > 0

    def evaluate(self) -> dict[tuple[str, str], bool]:
        """Which pairs are evaded; the residual of all others is set to 1."""
        known_unresolved = {pair for pair, residual in self.residual.items() if residual > 0.9}
        evaded = evaluate_noise(self.task, self.noise, self.detectors, self.conditions, known_unresolved)
        for pair, missed in evaded.items():
            if not missed:
                self.residual[pair] = 1.0
        return evaded

    def other_goals_reached(self) -> bool:
        """Whether the goals besides hiding are reached; decoys that detectors do not report are worked on again."""
        if any(missing >= _RAISED_DISTANCE for missing in self.decoy_residual.values()):
            return False
        if self.decoy_residual:
            for condition in self.conditions:
                for name, share in missed_decoys(self.task, self.noise, self.detectors, condition).items():
                    self.decoy_residual[name] = max(self.decoy_residual[name], share)
        return all(missing < _RAISED_DISTANCE for missing in self.decoy_residual.values())

    def _loss(self, detector: FaceDetector, shown: Rendering) -> tuple[Tensor, Tensor, float]:
        """The loss for what the detector is shown, that of the decoys, and how far the detector is from evaded."""
        faces, zones = shown.boxes(self.task.faces), shown.boxes(self.task.zones)
        raise_decoys = bool(self.goals.decoy) and len(zones) > 0
        focus = torch.cat([faces, zones]) if raise_decoys else faces
        candidates = self._candidates(detector, shown.pixels, focus)
        by_face = hiding_by_face(candidates, faces)
        hiding = by_face.sum(1) / max(1, len(faces))
        seen = by_face.detach().amin(0).clamp_max(1)
        self.face_residual[detector.name] = 0.7 * self.face_residual[detector.name] + 0.3 * seen
        # a cascade is evaded by any one stage: stages that are nearly evaded weigh most
        loss = self.goals.hide * (hiding / (hiding.detach() + 0.05) ** 2).sum()
        distance = float(hiding.detach().min())
        decoys_loss = candidates.logits.sum() * 0
        if raise_decoys:
            missing = decoy_loss(candidates, zones)
            decoys_loss = missing.mean()
            # in a cascade the stage with the largest loss decides
            worst = float(missing.detach().amax(0).mean())
            self.decoy_residual[detector.name] = 0.7 * self.decoy_residual[detector.name] + 0.3 * worst
        truth = self.task.landmarks.get(detector.name)
        if self.goals.landmark and truth:
            points = [shown.affine.points(one) for one in truth]
            loss = loss + self.goals.landmark * landmark_loss(
                candidates, faces, points, share=self.goals.displacement
            )
        return loss, decoys_loss, distance
