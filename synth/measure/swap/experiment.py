"""``measure swap``: is a face swapper that learned from cloaked data worse, and are its fakes easier to detect?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from provenance.errors import UsageError
from provenance.media.files import sha256_file
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CLEAN, Pixels
from synth.measure.experiment import (
    AttackerFaces,
    Experiment,
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
from synth.measure.swap.cells import SwapJudge, cell_key, landmarks_of, trained_and_measured
from synth.measure.swap.faces import extract_for, held_out_faces
from synth.measure.swap.one_shot import OneShotCells
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.training.data import Bank


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


def require_video(target: Path) -> None:
    """Raise UsageError where the target is none."""
    if not is_video(target):
        raise UsageError(f"{target} is no video", hint="the target is a video; the person may be pictures")


def is_video(path: Path) -> bool:
    return any(one.kind == "video" for one in open_footage(path))
