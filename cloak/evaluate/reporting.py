"""The report of a cloak, made of what was found before and what is found in the decoded picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata

import numpy as np
from torch import Tensor

from cloak.detectors import DETECTORS
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.advice import advise
from cloak.evaluate.detect import InitialDetections
from cloak.evaluate.evaluation import CONDITION_WEIGHTS, Evaluation
from cloak.evaluate.presence import missing_detectors
from cloak.evaluate.quality import as_shown, compare, crop
from cloak.evaluate.report import CloakReport, DetectorReport, FaceReport, RecognitionReport
from cloak.options import CloakOptions
from cloak.veils.visibility import dislike

#: FLIP is computed for pictures of fewer values than this; for larger ones it takes too long.
_MOST_PERCEPTUAL = 12_000_000


@dataclass(frozen=True)
class CloakScene:
    """A picture before it is cloaked, and what was asked for.

    Attributes:
        options: of the cloak.
        initial: what each detector found, and the faces of all of them together.
        faces: ``(N, 4)`` the faces to hide, in pixels of the picture.
        uncloaked: uint8 ``(H, W, 3)``: the picture in the same encoding as the cloaked one, decoded.
    """

    options: CloakOptions
    initial: InitialDetections
    faces: Tensor
    uncloaked: np.ndarray


@dataclass(frozen=True)
class CloakWork:
    """How a cloak was made and written.

    Attributes:
        encoders: names of the encoders of faces that it was made against.
        decoys_placed: how many.
        largest_noise: the largest change before encoding, in levels of 255.
        steps: of the search, all patches and rounds together.
        seconds: in all.
        format, encoder_quality, lossless: of the file; the quality is None where the format has none.
        cleaned: see :func:`cloak.evaluate.cleaning.found_after_cleaning`; empty where that was not asked.
    """

    encoders: tuple[str, ...]
    decoys_placed: int
    largest_noise: int
    steps: int
    seconds: float
    format: str
    encoder_quality: int | None
    lossless: bool
    cleaned: dict[str, dict[str, int]] = field(default_factory=dict)


def build_report(evaluation: Evaluation, scene: CloakScene, work: CloakWork) -> CloakReport:
    """The report of a cloak, from the evaluation of the decoded picture by all detectors and encoders."""
    options = scene.options
    size = (evaluation.pixels.shape[1], evaluation.pixels.shape[0])
    faces = _faces(evaluation, scene)
    detectors = _detectors(evaluation, scene, work.cleaned)
    recognition = _recognition(evaluation, work.encoders)
    advice = advise(faces, detectors, options, size, missing_detectors(options.weights), recognition)
    return CloakReport(
        strength=str(options.level),
        levels=options.level.levels,
        attack=options.attack,
        veil=options.chosen_veil.value,
        seed=options.seed,
        device=options.device,
        versions={name: metadata.version(name) for name in ("torch", "numpy", "pillow")},
        steps=work.steps,
        seconds=work.seconds,
        size=size,
        judged_at=evaluation.display_size,
        format=work.format,
        encoder_quality=work.encoder_quality,
        lossless=work.lossless,
        largest_noise=work.largest_noise,
        quality=compare(
            scene.uncloaked,
            evaluation.pixels,
            perceptual=evaluation.pixels.size < _MOST_PERCEPTUAL and not options.fast,
        ),
        faces=tuple(faces),
        detectors=tuple(detectors),
        notes=tuple(_notes(evaluation, scene)),
        recognition=recognition,
        decoys_asked=options.decoys,
        decoys_placed=work.decoys_placed,
        advice=advice,
    )


def _faces(evaluation: Evaluation, scene: CloakScene) -> list[FaceReport]:
    """Every face that was reported; those among which a person can choose have a number."""
    initial = scene.initial
    scale = evaluation.display_size[0] / evaluation.pixels.shape[1]
    place = {tuple(box): number for number, box in enumerate(scene.faces.tolist())}
    numbers = {tuple(box): number for number, box in enumerate(initial.confirmed_faces.tolist())}
    never = [False] * len(scene.faces)
    result = []
    for box in initial.all_faces.tolist():
        chosen = place.get(tuple(box))
        corners = (box[0], box[1], box[2], box[3])
        on_display = initial.all_faces.new_tensor([box]) * scale
        before, after = crop(scene.uncloaked, corners), crop(evaluation.pixels, corners)
        result.append(
            FaceReport(
                box=corners,
                number=numbers.get(tuple(box)),
                chosen=chosen is not None,
                found_before=tuple(
                    name
                    for name, report in initial.before.items()
                    if faces_found(report, on_display).tolist()[0]
                ),
                found_by={
                    condition: tuple(
                        name
                        for name in initial.before
                        if evaluation.detected.get((name, condition), never)[chosen]
                    )
                    for condition in CONDITION_WEIGHTS
                }
                if chosen is not None
                else {},
                quality=compare(before, after, shown=scale),
                dislike=None
                if chosen is None
                else dislike(as_shown(before, scale), as_shown(after, scale)).total,
            )
        )
    return result


def _detectors(
    evaluation: Evaluation, scene: CloakScene, cleaned: dict[str, dict[str, int]]
) -> list[DetectorReport]:
    attacked, judging = scene.initial.detectors.attacked, scene.initial.detectors.judging
    return [
        DetectorReport(
            name=detector.name,
            family=detector.family,
            attacked=detector in attacked,
            before=sum(evaluation.detected_before[detector.name]),
            after={
                condition: sum(detected)
                for (name, condition), detected in evaluation.detected.items()
                if name == detector.name
            },
            elsewhere=evaluation.elsewhere[detector.name],
            decoys=sum(evaluation.decoys[detector.name]),
            cleaned=cleaned.get(detector.name, {}),
            landmark_error=float(np.mean(moved)) if (moved := evaluation.landmarks[detector.name]) else None,
        )
        for detector in [*attacked, *judging]
    ]


def _recognition(evaluation: Evaluation, attacked: tuple[str, ...]) -> tuple[RecognitionReport, ...]:
    return tuple(
        RecognitionReport(
            encoder=encoder,
            attacked=encoder in attacked,
            distances={
                condition: tuple(values)
                for (name, condition), values in evaluation.recognition.items()
                if name == encoder
            },
            threshold=limit,
        )
        for encoder, limit in evaluation.same_person.items()
    )


def _notes(evaluation: Evaluation, scene: CloakScene) -> list[str]:
    notes = []
    width, height = evaluation.display_size
    if width != evaluation.pixels.shape[1]:
        notes.append(f"detectors were shown the picture at {width} x {height} pixels")
    detectors = scene.initial.detectors
    asked = {detector.name for detector in [*detectors.attacked, *detectors.judging]}
    if others := [known.name for known in DETECTORS if known.name not in asked]:
        notes.append("known, but not asked: " + ", ".join(others))
    return notes
