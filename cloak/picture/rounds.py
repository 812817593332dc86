"""One round of the cloak of a picture: the search on each patch, and the composition of their noise."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.budget import context_mask, visibility_mask
from cloak.attack.conditions import Condition, cleaned, publication_conditions
from cloak.attack.decoys import place_decoys
from cloak.attack.frames import FullResolutionFrame, WholeFrame
from cloak.attack.noise_change import Change, NoiseChange
from cloak.attack.regions import plan_patches
from cloak.attack.search import optimise
from cloak.attack.task import Goals, Schedule, SearchResult, Task
from cloak.attack.whole_frame import SquareFrame
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found, matches_faces
from cloak.detectors.geometry.patch import Patch
from cloak.evaluate.evaluation import Evaluation
from cloak.options import CloakOptions
from cloak.picture.display_scale import with_display_scale
from cloak.pixels import DisplayedPicture, to_tensor
from cloak.strength import Strength
from cloak.veils import VeilName, veil_of
from cloak.veils.background import add_background
from cloak.veils.base import Canvas
from cloak.veils.grain import spread_share
from cloak.veils.search import VeilChange
from cloak.veils.visibility import CEILINGS, Visibility
from provenance.errors import UsageError
from provenance.media.picture import Picture, encode_picture

#: How far noise reaches beyond a face, in face sizes.
CONTEXT = 0.25
#: Formats that lose something.
LOSSY = ("JPEG", "WebP", "AVIF")
_SUBSAMPLED_BELOW = 90
#: Patches of so many pixels together get all steps; more pixels get fewer steps, at least the second number.
FULL_AREA, MIN_STEPS = 1_000_000, 16
#: A fast search of a veil looks every so many steps whether the faces are hidden, and ends there.
FAST_LOOK_EVERY = 6
#: Steps of the trial that tells how long the search will take.
_TRIAL_STEPS = 3
#: Weight of the loss on features in the first round, and amount of the warp in each step. Both make noise transfer to
#: detectors that are not attacked (docs/research/transfer.md), at these strengths: with less noise hardly more
#: transfers, the search takes half as long again, and the noise is more visible.
FEATURE_WEIGHT, WARP = 0.6, 0.15
TRANSFER_STRENGTHS = (Strength.HIGH,)

#: A veil is searched on faces of up to so many pixels, for its grain has to be fine; noise on smaller ones.
VEIL_FACE_SIDE, NOISE_FACE_SIDE = 240, 208
#: Detectors are shown veiled faces at up to so many pixels in every second view.
SHOWN_FACE_SIDE = 224.0
#: How much a detector still counts that misses the face already, see :class:`cloak.attack.task.Schedule`.
LEAST_WEIGHT = 0.25
#: Veils that have grain all over the picture, and how strong it is at most where nothing was searched.
GRAINY, BACKGROUND = (VeilName.FILM, VeilName.FILM_BW), 0.075
#: The same in shares of what it is on the face that has the least.
BACKGROUND_SHARE = 0.8

Progress = Callable[[float], None]


@dataclass(frozen=True)
class ImageEncoder:
    """How the result is written."""

    format: str
    quality: int | None

    @property
    def lossless(self) -> bool:
        return self.format not in LOSSY or (self.format == "WebP" and self.quality == 100)

    def publication_conditions(self, patch: Patch) -> list[Condition]:
        max_shift = max(1, min(24, patch.height // 8, patch.width // 8))
        quality = None if self.lossless else self.quality
        return publication_conditions(
            quality, subsample=(quality or 100) < _SUBSAMPLED_BELOW, max_shift=max_shift
        )

    def encode(self, picture: Picture, keep_gps: bool) -> bytes:
        return encode_picture(picture, self.format, quality=self.quality, keep_gps=keep_gps)


@dataclass(frozen=True)
class TrialCost:
    """What a few real steps took.

    Attributes:
        step: seconds for one step.
        check: seconds for one check whether the search may stop.
        check_every: steps between two checks.
        pixels: of the patch on which this was measured.
    """

    step: float
    check: float
    check_every: int
    pixels: int


class PatchOptimiser:
    """Optimises the noise of each patch, and keeps it between the rounds.

    Args:
        picture: to cloak.
        attacked: the detectors to evade.
        encoder: how the result is written.
        options: of the cloak.
        selected, all_faces: ``(N, 4)`` in pixels of the picture, the faces to hide, and all that were reported.
        displayed: the picture as detectors are shown it.
        before: by name, what each detector reports for it uncloaked.
        evaluate: evaluation of the cloaked pixels of the whole picture, once encoded; None: only after each round.
    """

    def __init__(
        self,
        picture: Picture,
        attacked: list[FaceDetector],
        encoder: ImageEncoder,
        options: CloakOptions,
        selected: Tensor,
        all_faces: Tensor,
        displayed: DisplayedPicture,
        before: dict[str, Detections],
        evaluate: Callable[[np.ndarray], Evaluation] | None = None,
    ) -> None:
        self.evaluate = evaluate
        #: The share of the strength's largest change that the search may use.
        self.epsilon_scale = 1.0
        self.pixels, self.options, self.attacked, self.encoder = picture.pixels, options, attacked, encoder
        self.grey = picture.is_grey or _looks_grey(picture.pixels)
        self.selected, self.displayed, self.before = selected, displayed, before
        self.zones = place_decoys(picture.pixels, all_faces, options.decoys, options.seed)
        size = picture.pixels.shape[:2]
        #: None for plain noise.
        self.veil = veil_of(options.chosen_veil, grey=self.grey)
        self.patches = plan_patches(
            size,
            torch.cat([selected, self.zones]),
            display_scale=displayed.scale,
            face_side=NOISE_FACE_SIDE if self.veil is None else VEIL_FACE_SIDE,
        )
        self.changes: list[VeilChange | None] = [None] * len(self.patches)
        self.square = SquareFrame(picture.pixels, options.device)
        self.top_left_square = SquareFrame(picture.pixels, options.device, top_left=True)
        self.noises: list[Tensor | None] = [None] * len(self.patches)
        self.pending = list(range(len(self.patches)))
        self.unresolved: list[set[tuple[str, str]]] = [set() for _ in self.patches]
        self.steps = 0

    def run_round(self, round_number: int, progress: Progress | None) -> np.ndarray:
        """Search on the pending patches; returns the cloaked pixels of the whole picture, uint8 ``(H, W, 3)``."""
        for position, index in enumerate(self.pending):

            def report(share: float, position: int = position) -> None:
                if progress:
                    within = (position + share) / len(self.pending)
                    progress(min(0.99, (round_number + within) / self.options.most_rounds))

            self._optimise_patch(index, round_number, report)
        return self._compose(self.noises)

    def _compose(self, noises: Sequence[Tensor | None]) -> np.ndarray:
        """The whole picture with the patches' noise."""
        canvas = np.zeros(self.pixels.shape, np.int16)
        for patch, noise in zip(self.patches, noises, strict=True):
            if noise is not None:
                _add_noise(canvas, patch, noise)
        if self.veil is None:
            levels = self.options.level.levels
            canvas = np.clip(canvas, -levels, levels)
        elif self.veil.name in GRAINY:
            self._add_background(canvas)
        picture: np.ndarray = np.clip(self.pixels.astype(np.int16) + canvas, 0, 255).astype(np.uint8)
        return picture

    def _add_background(self, canvas: np.ndarray) -> None:
        """Grain where nothing was searched, no stronger than on any face, and as large as on the largest."""
        made = [(patch, change) for patch, change in zip(self.patches, self.changes, strict=True) if change]
        if made and self.veil is not None:
            least = min(change.amplitude for _, change in made)
            amplitude = min(BACKGROUND, BACKGROUND_SHARE * least)
            scale = min(patch.scale for patch, _ in made)
            places = torch.cat([self.selected, self.zones])
            add_background(canvas, self.pixels, places, self.veil, amplitude, scale, self.options.seed)

    def update_pending(self, evaluation: Evaluation) -> None:
        """The patches of the next round are those whose faces an attacked detector still finds."""
        self.unresolved = [self._unresolved_pairs(evaluation, patch) for patch in self.patches]
        self.pending = [index for index, pairs in enumerate(self.unresolved) if pairs]

    def _unresolved_pairs(self, evaluation: Evaluation, patch: Patch) -> set[tuple[str, str]]:
        """The attacked detectors and the conditions under which they still find one of the patch's faces."""
        names = {detector.name for detector in self.attacked}
        own_faces = [face for face in patch.faces if face < len(self.selected)]
        return {
            pair
            for pair, detected in evaluation.detected.items()
            if pair[0] in names and any(detected[face] for face in own_faces)
        }

    @property
    def steps_per_patch(self) -> int:
        """The number of steps for each pending patch: fewer where there are many pixels, so that time is bounded."""
        share = FULL_AREA / max(self.pixel_count, 1)
        most = self.options.steps_a_round
        return min(most, max(MIN_STEPS, round(most * share)))

    def steps_in(self, round_number: int) -> int:
        """The steps of a round: a veil goes on from where the round before ended, and takes half as many."""
        most = self.steps_per_patch
        return most if self.veil is None or not round_number else max(1, most // 2)

    @property
    def pixel_count(self) -> int:
        """The number of pixels of all pending patches."""
        return sum(self.patches[index].height * self.patches[index].width for index in self.pending)

    def _relevant_detectors(self, index: int) -> list[FaceDetector]:
        """The attacked detectors that find one of the patch's faces, each for this patch."""
        patch = self.patches[index]
        if any(face >= len(self.selected) for face in patch.faces):
            relevant = self.attacked  # decoys are raised for all detectors
        else:
            faces = self.selected[list(patch.faces)] * self.displayed.scale
            detecting = {
                name for name, report in self.before.items() if bool(faces_found(report, faces).any())
            }
            detecting |= {name for name, _ in self.unresolved[index]}
            relevant = [one for one in self.attacked if one.name in detecting or one.name not in self.before]
        return [one.for_patch(patch) for one in relevant]

    def trial(self) -> TrialCost:
        """The cost of a step, of the check of a search, measured on the median patch; nothing of it is kept."""
        index = sorted(self.pending, key=lambda i: self.patches[i].height * self.patches[i].width)[
            len(self.pending) // 2
        ]
        times = [time.perf_counter()]
        self._search(index, 0, _TRIAL_STEPS, lambda _: times.append(time.perf_counter()))
        times.append(time.perf_counter())
        # the first step prepares what later ones find ready; an attack that tells nothing of its steps is divided
        told = len(times) > _TRIAL_STEPS + 1
        step = (times[-2] - times[1]) / (_TRIAL_STEPS - 1) if told else (times[-1] - times[0]) / _TRIAL_STEPS
        return TrialCost(
            step=step,
            check=times[-1] - times[-2] if told else 0.0,
            check_every=Schedule.check_every,
            pixels=self.patches[index].height * self.patches[index].width,
        )

    def _optimise_patch(self, index: int, round_number: int, progress: Progress) -> None:
        steps = self.options.steps if self.options.torchattack else self.steps_in(round_number)
        result = self._search(index, round_number, steps, progress)
        self.noises[index] = result.noise
        self.steps += result.steps

    def _search(
        self, index: int, round_number: int, steps: int, progress: Progress | None = None
    ) -> SearchResult:
        options, patch = self.options, self.patches[index]
        conditions = with_display_scale(
            self.encoder.publication_conditions(patch), self.displayed.scale / patch.scale
        )
        task = self._task(patch, index)
        if options.torchattack:
            from cloak.attack.torchattacks import run_torchattack

            return run_torchattack(
                options.torchattack,
                task,
                self._relevant_detectors(index),
                conditions,
                steps=steps,
                seed=options.seed,
            )
        transfers = options.level in TRANSFER_STRENGTHS

        def stop_when(noise: Tensor) -> bool:
            noises = [noise if position == index else other for position, other in enumerate(self.noises)]
            return self.evaluate is None or not self._unresolved_pairs(
                self.evaluate(self._compose(noises)), patch
            )

        if self.veil is not None:
            transfers = False
            conditions = [*conditions, cleaned(conditions[0])]
        detectors = self._relevant_detectors(index)

        def begin(task: Task, schedule: Schedule, rng: random.Random, start: Tensor | None) -> Change:
            if self.veil is None:
                return NoiseChange(task, schedule, rng, start)
            change = self.changes[index]
            if change is None or start is None:
                change = self._veil_change(task, patch, schedule)
            self.changes[index] = change
            return change

        return optimise(
            task,
            detectors,
            conditions,
            begin=begin,
            goals=Goals(
                features=FEATURE_WEIGHT if transfers and round_number == 0 and len(task.faces) else 0.0,
                decoy=1.0 if len(task.zones) else 0.0,
                landmark=0.3 if options.displace_landmarks else 0.0,
                displacement=options.landmark_share,
            ),
            schedule=Schedule(
                steps=steps,
                restarts=options.restarts if round_number == 0 else 0,
                smooth=options.smooth,
                warp=WARP if transfers else 0.0,
                bf16=options.bf16,
                seed=options.seed + round_number,
                least_weight=0.0 if self.veil is None else LEAST_WEIGHT,
                face_side=0.0 if self.veil is None else SHOWN_FACE_SIDE,
                check_every=10 if self.veil is None else 0,
                look_every=FAST_LOOK_EVERY if options.fast and self.veil is not None else 0,
            ),
            start=self.noises[index],
            unresolved=self.unresolved[index],
            stop_when=stop_when if self.evaluate and (round_number or (options.fast and self.veil)) else None,
            progress=progress,
        )

    def _veil_change(self, task: Task, patch: Patch, schedule: Schedule) -> VeilChange:
        veil = self.veil
        if veil is None:
            raise UsageError("plain noise is no veil")
        places = torch.cat([task.faces, task.zones])
        pixel = self.displayed.scale / patch.scale
        canvas = Canvas(task.clean, spread_share((patch.height, patch.width), places), pixel)
        return VeilChange(
            veil,
            canvas,
            Visibility(task.clean, places, pixel),
            CEILINGS[self.options.level],
            steps=schedule.steps,
            seed=schedule.seed,
        )

    def _task(self, patch: Patch, index: int) -> Task:
        device, strength = self.options.device, self.options.level
        clean = _cut_patch(self.pixels, patch, device)
        count = len(self.selected)
        faces = patch.boxes(self.selected[[i for i in patch.faces if i < count]]).to(device)
        zones = patch.boxes(self.zones[[i - count for i in patch.faces if i >= count]]).to(device)
        size = (patch.height, patch.width)
        share = torch.maximum(context_mask(size, faces, CONTEXT), context_mask(size, zones, 0.1))
        limit = (
            self.epsilon_scale
            * strength.epsilon
            * visibility_mask(clean, smooth=strength.smooth_share)
            * share
        )
        return Task(
            clean=clean,
            faces=faces,
            limit=limit,
            grey=self.grey,
            energy=strength.energy,
            chroma=strength.chroma,
            zones=zones,
            landmarks=self._landmarks(patch) if self.options.displace_landmarks else {},
            whole_frame=self._whole_frame(patch, index),
            full_frame=self._full_frame(patch, index),
            picture_size=(self.pixels.shape[0] * patch.scale, self.pixels.shape[1] * patch.scale),
        )

    def _landmarks(self, patch: Patch) -> dict[str, list[Tensor]]:
        """Where each detector sees each face's landmarks in the clean picture; empty where it does not."""
        result = {}
        faces = self.selected[[i for i in patch.faces if i < len(self.selected)]]
        for name, report in self.before.items():
            if report.landmarks is None:
                continue
            boxes, points = report.boxes / self.displayed.scale, report.landmarks / self.displayed.scale
            matching = matches_faces(boxes, faces)
            result[name] = [
                patch.boxes(points[matching[:, i].nonzero()[0, 0]].repeat(1, 2))[:, :2].to(
                    self.options.device
                )
                if bool(matching[:, i].any())
                else torch.zeros(0, 2)
                for i in range(len(faces))
            ]
        return result

    def _full_frame(self, patch: Patch, index: int) -> FullResolutionFrame | None:
        """The whole picture with the noise of the other patches in it, where detectors are shown it at this scale."""
        if self.displayed.scale != 1 or patch.scale != 1:
            return None
        canvas = np.zeros(self.pixels.shape, np.int16)
        for position, (other, noise) in enumerate(zip(self.patches, self.noises, strict=True)):
            if position != index and noise is not None:
                _add_noise(canvas, other, noise)
        picture = np.clip(self.pixels + canvas, 0, 255).astype(np.uint8)
        return FullResolutionFrame(to_tensor(picture, self.options.device), patch.left, patch.top)

    def _whole_frame(self, patch: Patch, index: int) -> WholeFrame:
        """The whole picture at a small size, with the noise of the other patches in it."""
        others = [
            (other, noise)
            for i, (other, noise) in enumerate(zip(self.patches, self.noises, strict=True))
            if i != index and noise is not None
        ]
        return replace(
            self.square.with_noise_of(patch, others),
            top_left=self.top_left_square.with_noise_of(patch, others),
        )


def _looks_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())


def _cut_patch(pixels: np.ndarray, patch: Patch, device: str) -> Tensor:
    part = np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right])
    return patch.to_working_size(to_tensor(part, device))


def _add_noise(canvas: np.ndarray, patch: Patch, noise: Tensor) -> None:
    """Add a patch's noise to the canvas, in whole levels; where patches meet, the larger change counts."""
    spread = (patch.to_picture_size(noise)[0] * 255).round().to(torch.int16).permute(1, 2, 0).cpu().numpy()
    target = canvas[patch.top : patch.bottom, patch.left : patch.right]
    np.copyto(target, spread, where=np.abs(spread) > np.abs(target))
