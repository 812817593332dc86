"""``measure lipsync``: is a lip-sync that was made from cloaked footage worse, and easier to detect?

The footage goes through the whole generator that ``veilmark synth lipsync`` runs; the held-out fifth, after a gap, is
then made to say what it said. The sound is never cloaked. Nothing in that generator is drawn by chance, so it is
repeated with another part of the footage left out each time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.home import Home
from provenance.media.files import sha256_file
from synth.code_version import code_of, code_of_module
from synth.consent.permission import carried_permission
from synth.extraction.finder import DEFAULT_DETECTORS, FaceFinder
from synth.extraction.footage import open_footage
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.audio import Sound, load_sound
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
from synth.measure.lipsync.cells import made_and_measured
from synth.measure.lipsync.footage import (
    AttackerFootage,
    Landmarks,
    displaced,
    face_landmarks,
    followed,
    joined_clip,
    rate_of,
)
from synth.measure.lipsync.judge import RENDERED, LipsyncJudge
from synth.measure.lipsync.options import LipsyncExperimentOptions
from synth.measure.material import Material, prepare_material
from synth.measure.measures import ExperimentKind
from synth.measure.split import split_of

#: Seconds, as measured on one core: to look at a frame again and copy the mouth out of it, and to make a frame and
#: measure it.
_STUDY, _MAKE = 0.02, 0.2


def measure_lipsync(
    person: Path,
    consent: dict[str, Any],
    options: LipsyncExperimentOptions,
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
        person: a video in which one person speaks.
        consent: of :meth:`synth.consent.permission.Permission.to_json`.
        cache: where everything that is finished lies.
        stop: asked between steps.
        tell, progress, label, partial: as there.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the same call goes on there.
        UsageError: no speech. NoFaceError: no face. ConsentError: nothing says that it may be used.
    """
    require_basis(consent)
    carried_permission(consent, Home.locate())
    sound = load_sound(person)
    if sound.is_silent:
        raise UsageError(f"{person} is silent", hint="name footage in which the person speaks")
    experiment = LipsyncExperiment(person, sound, options, cache, stop)
    return run_experiment(experiment, tell=tell, progress=progress, label=label, partial=partial)


class LipsyncExperiment(Experiment):
    """Every cell is a lip-sync of the held-out frames, made from the footage without one part."""

    kind = ExperimentKind.LIPSYNC
    material: Material
    judge: LipsyncJudge

    def __init__(
        self, person: Path, sound: Sound, options: LipsyncExperimentOptions, cache: Cache, stop: Stop
    ) -> None:
        super().__init__(options, cache, stop)
        self.options, self.person, self.sound = options, person, sound
        self.footage: dict[tuple[str, str], AttackerFootage] = {}
        self._following: tuple[Landmarks, tuple[int, int]] | None = None

    def prepare(self) -> Material:
        self.material = prepare_material(self.person, self.options, self.cache)
        self.result.files = {"person": self.material.digests}
        self.result.gaps = {"person": self.material.gap}
        return self.material

    def attack(self, variant: str, attacker: Attacker, progress: Progress) -> AttackerFaces:
        material = self.material
        if self._following is None:
            # where the face really was in all that follows what is published
            finder = FaceFinder(device=self.options.device, weights_dir=self.options.weights)
            self._following = face_landmarks(finder, material.after())[:2]
        points, faces = followed(material, variant, attacker, progress)
        clip = joined_clip(material, variant, attacker, faces.digest)
        self.footage[variant, attacker.name] = AttackerFootage(
            clip, points, *self._following, rate_of(material), self.sound, material.gap
        )
        return faces

    def set_judge(self) -> None:
        result, common = self.result, Judge.installed(self.options)
        result.displacement = displaced(self.footage)
        clean = self.footage[CLEAN, self.options.parsed[0].name]
        self.judge = LipsyncJudge.of_footage(clean, self.material.after(), common)
        result.notes += common.notes
        result.features, result.held_out = common.features_name, len(self.judge.rows)
        asked = {"published": self.material.key, "asked": common.fake_detectors}
        key = key_of("real frames", {**asked, "rows": self.judge.rows.tolist()})
        result.real = self.cache.get(key) or self.cache.put(
            key, self.judge.real_scores(clean.rate, self.cache)
        )

    def cell_key(self, variant: str, attacker: Attacker, repeat: int) -> str:
        judge = self.judge
        chosen = {
            "faces": self.result.faces[variant, attacker.name].digest,
            "part": [repeat, self.options.parts],
            "sound": _digest(self.sound.samples),
            "judge": _digest(np.nan_to_num(judge.landmarks)),
            "truth": _digest(np.nan_to_num(judge.shapes).round(6)),
            "features": [judge.features_name, judge.embedder is not None],
            "asked": judge.fake_detectors,
            "code": [
                code_of("synth.lipsync"),
                *(code_of_module(f"synth.measure.lipsync.{name}") for name in ("cells", "judge", "footage")),
                sha256_file(PRIOR),
            ],
        }
        return key_of("lip-sync", chosen)

    def measure(
        self, variant: str, attacker: Attacker, repeat: int, progress: Progress
    ) -> tuple[dict[str, Any], Pixels | None]:
        return made_and_measured(
            self.footage[variant, attacker.name], repeat, self.options.parts, self.judge, self.cache,
            device=self.options.device, weights=self.options.weights, stop=self.stop,
        )  # fmt: skip


def estimate_work(person: Path, options: LipsyncExperimentOptions, cache: Cache) -> ExperimentEstimate:
    """About how long it takes, from the footage's length and a few real steps on this machine.

    Raises:
        UsageError: it is no video. MissingPathError: it is not there.
    """
    count = video_frames(person)
    split = split_of(count, None)
    published = split.published if split else round(0.8 * count)
    cells = len(options.variants) * len(options.parsed)
    known = calibrate(person, options, cache)
    looks = (
        sum(known.find_seconds(one.detectors) for one in options.parsed) * len(options.variants) * published
    )
    looks += 0.25 * published * known.find_seconds(DEFAULT_DETECTORS)
    runs, made = cells * options.parts, min(RENDERED, round(0.2 * count))
    return ExperimentEstimate(
        (
            (
                f"cloaking {published} frames: {'; '.join(options.cloaks)}",
                known.cloak_seconds(published, options, True),
            ),
            (f"following the face {cells + 1} times", looks),
            (f"{runs} lip-syncs of {made} frames", runs * (count * _STUDY + made * _MAKE) * known.speed),
        ),
        known.share,
    )


def video_frames(person: Path) -> int:
    """How many frames the video promises.

    Raises:
        UsageError: it is no video. MissingPathError: it is not there.
    """
    sources = open_footage(person)
    for source in sources:
        if source.kind != "video":
            raise UsageError(f"{source.path} is no video", hint="name a video in which the person speaks")
    return sum(source.expected for source in sources)


def _digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
