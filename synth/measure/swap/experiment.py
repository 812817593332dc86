"""``measure swap``: is a face swapper that learned from cloaked data worse, and are its fakes easier to detect?"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from provenance.errors import UsageError
from provenance.media.files import sha256_file
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import DEFAULT_DETECTORS, FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache, key_of
from synth.measure.calibration import calibrate
from synth.measure.conditions import CLEAN, Pixels
from synth.measure.experiment import (
    AttackerFaces,
    Experiment,
    ExperimentEstimate,
    Label,
    Progress,
    Result,
    Stop,
    Tell,
    require_basis,
    run_experiment,
)
from synth.measure.judge import Judge
from synth.measure.material import Material, prepare_material
from synth.measure.measures import ExperimentKind
from synth.measure.split import split_of
from synth.measure.swap.cells import SwapJudge, cell_key, landmarks_of, trained_and_measured
from synth.measure.swap.faces import extract_for, held_out_faces
from synth.measure.swap.one_shot import OneShotCells
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.training.checkpoint import Origin
from synth.swap.training.data import Bank
from synth.swap.training.train import train

#: Seconds, as measured on one core, to swap and measure a frame, and to look for the face again in a held-out frame.
_MEASURE = 0.45
#: A step of the phases that have a critic, on the average of a recipe, beside one of the first phase.
_PHASES = 1.15
_PROBE_STEPS = 4


def measure_swap(
    person: Path,
    target: Path,
    consent: dict[str, dict[str, Any]],
    options: SwapExperimentOptions,
    cache: Cache,
    *,
    tell: Tell = lambda _: None,
    progress: Progress | None = None,
    stop: Stop = lambda: False,
    label: Label | None = None,
    partial: Stop = lambda: False,
) -> Result:
    """The whole experiment; see :func:`synth.measure.experiment.run_experiment`.

    Args:
        person: footage of who publishes, and whose face is stolen: a video, or a folder of pictures.
        target: the video into which the face is put.
        consent: for ``a`` (person), ``b`` (target) and ``further 0`` ... (:attr:`SwapExperimentOptions.people`), of
            :meth:`synth.consent.permission.Permission.to_json`.
        cache: where everything that is finished lies.
        stop: asked between steps.
        tell, progress, label, partial: as there.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the same call goes on there.
        ConsentError, NoFaceError, UsageError, MediaError: see the parts.
    """
    for side in ("a", "b", *(f"further {place}" for place in range(len(options.people)))):
        require_basis(consent.get(side, {}))
    require_video(target)
    experiment = SwapExperiment(person, target, consent, options, cache, stop)
    return run_experiment(experiment, tell=tell, progress=progress, label=label, partial=partial)


class SwapExperiment(Experiment):
    """Every cell is a face swapper, trained with the same seeds and steps."""

    kind = ExperimentKind.SWAP
    material: Material
    other: Material
    one_shot: OneShotCells
    target_faces: AttackerFaces
    judge: SwapJudge

    def __init__(
        self,
        person: Path,
        target: Path,
        consent: dict[str, dict[str, Any]],
        options: SwapExperimentOptions,
        cache: Cache,
        stop: Stop,
    ) -> None:
        super().__init__(options, cache, stop)
        self.options, self.person, self.target, self.consent = options, person, target, consent

    def prepare(self) -> Material:
        self.material = prepare_material(self.person, self.options, self.cache)
        self.other = prepare_material(self.target, self.options, self.cache)
        self.result.files = {"person": self.material.digests, "target": self.other.digests}
        self.one_shot = OneShotCells(self.material, self.other, self.consent, self.options, self.cache)
        self.result.gaps = {"person": self.material.gap, "target": self.other.gap}
        self.result.notes += [self.other.note] if self.other.note else []
        return self.material

    def attack(self, variant: str, attacker: Attacker, progress: Progress) -> AttackerFaces:
        if attacker.one_shot:
            return self.one_shot.faces(variant, attacker)
        return extract_for(self.material, variant, attacker, self.consent["a"], self.options, progress)

    def set_judge(self) -> None:
        options, result = self.options, self.result
        self.target_faces = extract_for(self.other, CLEAN, Attacker("naive"), self.consent["b"], options)
        own = held_out_faces(self.material, self.consent["a"], options)
        theirs = held_out_faces(self.other, self.consent["b"], options)
        common, size = Judge.installed(options), options.size
        finder = FaceFinder(device=options.device, weights_dir=options.weights)
        clip = self.other.held_out_files[0]
        self.judge = SwapJudge(
            **vars(common),
            finder=finder,
            held_out=Bank.of(FaceSet.load(own.folder, size=size), size, options.device),
            clip=clip,
            tracked=landmarks_of(clip, finder),
        )
        embeddings = [common.embedded(one.pixels()) for one in (own, theirs)]
        if embeddings[0] is not None and embeddings[1] is not None:
            self.judge.person, self.judge.target = embeddings[0].mean(0), embeddings[1].mean(0)
            result.people_distance = float(np.linalg.norm(self.judge.person - self.judge.target))
        self._look(finder)
        result.notes += common.notes
        result.features, result.held_out = common.features_name, len(own)
        key = key_of("real clip", {"clip": sha256_file(clip), "asked": common.fake_detectors})
        result.real = self.cache.get(key) or self.cache.put(key, common.scores(clip))

    def _look(self, finder: FaceFinder) -> None:
        """What both people look like to the network that only judges."""
        identity = self.judge.identity
        if identity is None:
            return
        self.result.identity, self.result.same_person = identity.name, identity.same_person
        looks = [identity.of_person(one.held_out, finder) for one in (self.material, self.other)]
        if looks[0] is not None and looks[1] is not None:
            self.judge.looks = (looks[0], looks[1])

    def cell_key(self, variant: str, attacker: Attacker, repeat: int) -> str:
        faces = self.result.faces[variant, attacker.name]
        if attacker.one_shot:
            return self.one_shot.key(faces, repeat, self.judge)
        return cell_key(faces, self.target_faces, repeat, self.judge, self.options)

    def measure(
        self, variant: str, attacker: Attacker, repeat: int, progress: Progress
    ) -> tuple[dict[str, Any], Pixels | None]:
        if attacker.one_shot:
            return self.one_shot.measure(variant, attacker, repeat, self.judge, self.stop, progress)
        return trained_and_measured(
            self.result.faces[variant, attacker.name], self.target_faces, repeat, self.judge, self.consent,
            self.options, self.cache, stop=self.stop, progress=progress,
        )  # fmt: skip

    def finish(self) -> None:
        """No model stays, of this run or of one that was never finished."""
        shutil.rmtree(self.cache.folder / "models", ignore_errors=True)


def estimate_work(person: Path, options: SwapExperimentOptions, cache: Cache) -> ExperimentEstimate:
    """How long it takes at most, from the footage's length and a few real steps of each part on this machine."""
    count, known = _frames(person, options), calibrate(person, options, cache)
    cells = len(options.variants) * len(options.parsed)
    runs, steps = cells * len(options.seeds), options.generator().recipe.steps
    clip = max(2, round(count / 4))
    clip = clip if options.held_out is None else min(options.held_out, clip)
    looks = sum(known.find_seconds(one.detectors) for one in options.parsed) * len(options.variants) * count
    looks += 2 * (count + clip) * known.find_seconds(DEFAULT_DETECTORS)
    return ExperimentEstimate(
        (
            (
                f"cloaking {count} frames: {'; '.join(options.cloaks)}",
                known.cloak_seconds(count, options, _is_video(person)),
            ),
            (f"{cells} extractions of faces, and the target's", looks),
            (f"{runs} trainings of {steps} steps", runs * steps * _PHASES * seconds_per_step(options, cache)),
            (f"measuring {runs} generators on {clip} held-out frames", runs * clip * _MEASURE * known.speed),
        )
    )


def seconds_per_step(options: SwapExperimentOptions, cache: Cache) -> float:
    """Of the generator's training, from a few steps on noise on this machine; timed once."""
    key = key_of("seconds a step", {"generator": options.generator().to_json(), "device": options.device})
    done = cache.get(key)
    if done is not None:
        return float(done["seconds"])
    chosen = options.generator().with_steps(10)
    recipe = replace(chosen.recipe, check_every=1_000_000, generator_share=1.0, critic_share=0.0)
    chosen = replace(chosen, recipe=recipe)
    size, draws, device = chosen.architecture.size, np.random.default_rng(0), torch.device(options.device)
    shapes = ((24, size, size, 3), (24, size, size), (24, size, size))
    noise = [torch.from_numpy(draws.integers(0, 255, one, dtype=np.uint8)).to(device) for one in shapes]
    moments: list[float] = []
    with cache.scratch() as scratch:
        train(
            {"a": Bank(*noise), "b": Bank(*noise)},
            Origin(chosen, ("a", "b"), {}, {}, 0, {}),
            scratch,
            device=device,
            stop=lambda: len(moments) > _PROBE_STEPS,
            progress=lambda _: moments.append(time.perf_counter()),
        )
    seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    return float(cache.put(key, {"seconds": seconds})["seconds"])


def require_video(target: Path) -> None:
    """Raise UsageError where the target is none."""
    if not _is_video(target):
        raise UsageError(f"{target} is no video", hint="the target is a video; the person may be pictures")


def _is_video(path: Path) -> bool:
    return any(one.kind == "video" for one in open_footage(path))


def _frames(path: Path, options: SwapExperimentOptions) -> int:
    """How many frames will be published."""
    count = sum(max(1, one.expected) for one in open_footage(path))
    split = split_of(count, None)
    published = split.published if split else round(count * 0.8)
    return max(1, published if options.frames is None else min(options.frames, published))
