"""The work between two looks at the encoded picture: each patch's search, and its noise put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.budget import context_mask, visibility_mask
from cloak.attack.decoys import place_decoys
from cloak.attack.objective import found, of_faces
from cloak.attack.regions import Patch, plan_patches
from cloak.attack.search import optimise
from cloak.attack.task import Condition, Entire, Goals, Outcome, Schedule, Task, Wide, conditions
from cloak.attack.whole_frame import WideView
from cloak.detectors.base import Detections, FaceDetector
from cloak.evaluate.judge import View, to_tensor
from cloak.evaluate.outcome import Judged
from cloak.options import CloakOptions
from cloak.picture.display_scale import also_shown
from cloak.strength import Strength
from provenance.media.picture import Picture, encode_picture

#: How far noise reaches beyond a face, in face sizes.
CONTEXT = 0.25
#: Formats that lose something.
LOSSY = ("JPEG", "WebP", "AVIF")
_SUBSAMPLED_BELOW = 90
#: So many pixels to work on get all steps; more get fewer, but no fewer than these.
FULL_AREA, FEWEST_STEPS = 1_000_000, 16
#: Steps of the trial that tells how long the search will take.
_TRIAL = 2
#: How much it counts in the first round that networks see something else half-way, and how far faces are bent in each
#: step, so that noise carries over to detectors that it was not made against (docs/research/transfer.md); at these
#: strengths: with less noise hardly more carries over, it takes half as long again, and shows more.
FEATURES, BEND = 0.6, 0.15
CARRYING = (Strength.HIGH,)

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Encoder:
    """How the result is written."""

    format: str
    quality: int | None

    @property
    def lossless(self) -> bool:
        return self.format not in LOSSY or (self.format == "WebP" and self.quality == 100)

    def conditions(self, patch: Patch) -> list[Condition]:
        slide = max(1, min(24, patch.height // 8, patch.width // 8))
        quality = None if self.lossless else self.quality
        return conditions(quality, subsample=(quality or 100) < _SUBSAMPLED_BELOW, slide=slide)

    def encode(self, picture: Picture, keep_gps: bool) -> bytes:
        return encode_picture(picture, self.format, quality=self.quality, keep_gps=keep_gps)


class Worker:
    """Keeps each patch's noise between the rounds."""

    def __init__(
        self,
        picture: Picture,
        attacked: list[FaceDetector],
        encoder: Encoder,
        options: CloakOptions,
        chosen: Tensor,
        everyone: Tensor,
        view: View,
        before: dict[str, Detections],
        look: Callable[[np.ndarray], Judged] | None = None,
    ) -> None:
        """``look``: what detectors see of the cloaked pixels of the whole picture, once encoded; None: nobody looks
        before a round is over.
        """
        self.look = look
        #: The share of the strength's largest change that the search may use.
        self.room = 1.0
        self.pixels, self.options, self.attacked, self.encoder = picture.pixels, options, attacked, encoder
        self.grey = picture.is_grey or _looks_grey(picture.pixels)
        self.chosen, self.view, self.before = chosen, view, before
        self.zones = place_decoys(picture.pixels, everyone, options.decoys, options.seed)
        size = picture.pixels.shape[:2]
        self.patches = plan_patches(size, torch.cat([chosen, self.zones]), shown=view.scale)
        self.wide = WideView(picture.pixels, options.device)
        self.cornered = WideView(picture.pixels, options.device, corner=True)
        self.noises: list[Tensor | None] = [None] * len(self.patches)
        self.pending = list(range(len(self.patches)))
        self.stubborn: list[set[tuple[str, str]]] = [set() for _ in self.patches]
        self.steps = 0

    def turn(self, number: int, progress: Progress | None) -> np.ndarray:
        """Work on the pending patches; the cloaked pixels of the whole picture."""
        for place, index in enumerate(self.pending):

            def report(share: float, place: int = place) -> None:
                if progress:
                    within = (place + share) / len(self.pending)
                    progress(min(0.99, (number + within) / self.options.rounds))

            self._work(index, number, report)
        return self._together(self.noises)

    def _together(self, noises: Sequence[Tensor | None]) -> np.ndarray:
        """The whole picture with the patches' noise."""
        canvas = np.zeros(self.pixels.shape, np.int16)
        for patch, noise in zip(self.patches, noises, strict=True):
            if noise is not None:
                _add(canvas, patch, noise)
        levels = self.options.level.levels
        moved = self.pixels.astype(np.int16) + np.clip(canvas, -levels, levels)
        return np.clip(moved, 0, 255).astype(np.uint8)

    def learn(self, judged: Judged) -> None:
        """Next time, work on the patches whose faces an attacked detector still finds."""
        self.stubborn = [self._left(judged, patch) for patch in self.patches]
        self.pending = [index for index, pairs in enumerate(self.stubborn) if pairs]

    def _left(self, judged: Judged, patch: Patch) -> set[tuple[str, str]]:
        """The attacked detectors and the conditions under which they still find one of the patch's faces."""
        names = {detector.name for detector in self.attacked}
        mine = [face for face in patch.faces if face < len(self.chosen)]
        return {
            pair
            for pair, hits in judged.hits.items()
            if pair[0] in names and any(hits[face] for face in mine)
        }

    @property
    def allowed(self) -> int:
        """Steps that each pending patch may take: fewer where there is much to work on, so that time is bounded."""
        share = FULL_AREA / max(self.area, 1)
        return min(self.options.steps, max(FEWEST_STEPS, round(self.options.steps * share)))

    @property
    def area(self) -> int:
        """Pixels to work on."""
        return sum(self.patches[index].height * self.patches[index].width for index in self.pending)

    def _concerned(self, index: int) -> list[FaceDetector]:
        """The detectors that see one of the patch's faces, as they look at this patch."""
        patch = self.patches[index]
        if any(face >= len(self.chosen) for face in patch.faces):
            concerned = self.attacked  # decoys are for all
        else:
            faces = self.chosen[list(patch.faces)] * self.view.scale
            seeing = {name for name, report in self.before.items() if bool(found(report, faces).any())}
            seeing |= {name for name, _ in self.stubborn[index]}
            concerned = [one for one in self.attacked if one.name in seeing or one.name not in self.before]
        return [one.inside(patch) for one in concerned]

    def seconds_a_step(self) -> float:
        """How long a step on one patch takes here, its share of the exams included; measured on the middling patch."""
        index = sorted(self.pending, key=lambda i: self.patches[i].height * self.patches[i].width)[
            len(self.pending) // 2
        ]
        started = time.perf_counter()
        self._search(index, 0, _TRIAL)
        return (time.perf_counter() - started) / _TRIAL

    def _work(self, index: int, number: int, progress: Progress) -> None:
        steps = self.options.steps if self.options.torchattack else self.allowed
        outcome = self._search(index, number, steps, progress)
        self.noises[index] = outcome.noise
        self.steps += outcome.steps

    def _search(self, index: int, number: int, steps: int, progress: Progress | None = None) -> Outcome:
        options, patch = self.options, self.patches[index]
        met = also_shown(self.encoder.conditions(patch), self.view.scale / patch.scale)
        task = self._task(patch, index)
        if options.torchattack:
            from cloak.attack.torchattacks import run_torchattack

            return run_torchattack(
                options.torchattack, task, self._concerned(index), met, steps=steps, seed=options.seed
            )
        carries = options.level in CARRYING

        def enough(noise: Tensor) -> bool:
            noises = [noise if place == index else other for place, other in enumerate(self.noises)]
            return self.look is None or not self._left(self.look(self._together(noises)), patch)

        return optimise(
            task,
            self._concerned(index),
            met,
            goals=Goals(
                features=FEATURES if carries and number == 0 and len(task.faces) else 0.0,
                decoy=1.0 if len(task.zones) else 0.0,
                landmark=0.3 if options.displace_landmarks else 0.0,
                displacement=options.landmark_share,
            ),
            schedule=Schedule(
                steps=steps,
                restarts=options.restarts if number == 0 else 0,
                smooth=options.smooth,
                bend=BEND if carries else 0.0,
                bf16=options.bf16,
                seed=options.seed + number,
            ),
            start=self.noises[index],
            stubborn=self.stubborn[index],
            enough=enough if number and self.look else None,
            progress=progress,
        )

    def _task(self, patch: Patch, index: int) -> Task:
        device, strength = self.options.device, self.options.level
        clean = _cut(self.pixels, patch, device)
        count = len(self.chosen)
        faces = patch.boxes(self.chosen[[i for i in patch.faces if i < count]]).to(device)
        zones = patch.boxes(self.zones[[i - count for i in patch.faces if i >= count]]).to(device)
        size = (patch.height, patch.width)
        share = torch.maximum(context_mask(size, faces, CONTEXT), context_mask(size, zones, 0.1))
        limit = self.room * strength.epsilon * visibility_mask(clean, smooth=strength.smooth_share) * share
        return Task(
            clean=clean,
            faces=faces,
            limit=limit,
            grey=self.grey,
            energy=strength.energy,
            chroma=strength.chroma,
            zones=zones,
            landmarks=self._landmarks(patch) if self.options.displace_landmarks else {},
            wide=self._wide(patch, index),
            entire=self._entire(patch, index),
            extent=(self.pixels.shape[0] * patch.scale, self.pixels.shape[1] * patch.scale),
        )

    def _landmarks(self, patch: Patch) -> dict[str, list[Tensor]]:
        """Where each detector sees each face's landmarks in the clean picture; empty where it does not."""
        result = {}
        faces = self.chosen[[i for i in patch.faces if i < len(self.chosen)]]
        for name, report in self.before.items():
            if report.landmarks is None:
                continue
            boxes, points = report.boxes / self.view.scale, report.landmarks / self.view.scale
            same = of_faces(boxes, faces)
            result[name] = [
                patch.boxes(points[same[:, i].nonzero()[0, 0]].repeat(1, 2))[:, :2].to(self.options.device)
                if bool(same[:, i].any())
                else torch.zeros(0, 2)
                for i in range(len(faces))
            ]
        return result

    def _entire(self, patch: Patch, index: int) -> Entire | None:
        """The whole picture with the noise of the other patches in it, where detectors are shown it at this scale."""
        if self.view.scale != 1 or patch.scale != 1:
            return None
        canvas = np.zeros(self.pixels.shape, np.int16)
        for place, (other, noise) in enumerate(zip(self.patches, self.noises, strict=True)):
            if place != index and noise is not None:
                _add(canvas, other, noise)
        picture = np.clip(self.pixels + canvas, 0, 255).astype(np.uint8)
        return Entire(to_tensor(picture, self.options.device), patch.left, patch.top)

    def _wide(self, patch: Patch, index: int) -> Wide:
        """The whole picture at a small size, with the noise of the other patches in it."""
        others = [
            (other, noise)
            for i, (other, noise) in enumerate(zip(self.patches, self.noises, strict=True))
            if i != index and noise is not None
        ]
        return replace(self.wide.around(patch, others), corner=self.cornered.around(patch, others))


def _looks_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())


def _cut(pixels: np.ndarray, patch: Patch, device: str) -> Tensor:
    part = np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right])
    return patch.shrink(to_tensor(part, device))


def _add(canvas: np.ndarray, patch: Patch, noise: Tensor) -> None:
    """Add a patch's noise to the canvas, in whole levels; where patches meet, the larger change counts."""
    spread = (patch.spread(noise)[0] * 255).round().to(torch.int16).permute(1, 2, 0).cpu().numpy()
    target = canvas[patch.top : patch.bottom, patch.left : patch.right]
    np.copyto(target, spread, where=np.abs(spread) > np.abs(target))
