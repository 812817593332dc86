"""From the decoded picture to the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.parallel import each
from cloak.detectors import DETECTORS
from cloak.detectors.base import Detections, FaceDetector
from cloak.evaluate.judge import (
    ask,
    landmark_errors,
    new_reports,
    to_tensor,
    under_conditions,
    view_of,
    which_found,
)
from cloak.evaluate.quality import compare, crop
from cloak.evaluate.report import CloakReport, DetectorReport, FaceReport, RecognitionReport
from cloak.options import CloakOptions
from cloak.recognition.network import SAME_PERSON
from cloak.recognition.objective import Recogniser

#: Weight of a face that is still found, by condition, when rounds are compared.
WEIGHTS = {"published": 100.0, "jpeg75": 10.0, "half": 1.0}


@dataclass(frozen=True)
class Judged:
    """What detectors find in the decoded picture.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, decoded.
        shown: width and height of what detectors were shown.
        hits: by detector and condition, for each face to hide: is it found?
        counted: by detector, for each face to hide: was it found before? Only those count.
        elsewhere: by detector, the reports where none was before.
        decoys: by detector, for each decoy: is it reported as published?
        landmarks: by detector, for each face to hide that it still reports as published: how far its landmarks have
            moved, in face sizes.
        recognition: by condition, for each face to hide: how far face recognition sees it from itself; empty where
            nobody asked.
    """

    pixels: np.ndarray
    shown: tuple[int, int]
    hits: dict[tuple[str, str], list[bool]]
    counted: dict[str, list[bool]]
    elsewhere: dict[str, int]
    decoys: dict[str, list[bool]] = field(default_factory=dict)
    landmarks: dict[str, list[float]] = field(default_factory=dict)
    recognition: dict[str, list[float]] = field(default_factory=dict)

    def trouble(self, attacked: Sequence[FaceDetector]) -> float:
        """0 once every attacked detector misses every face in every condition; more is worse."""
        names = {detector.name for detector in attacked}
        return sum(
            WEIGHTS[condition] * sum(hits) for (name, condition), hits in self.hits.items() if name in names
        )

    def plus(self, other: Judged) -> Judged:
        """With what other detectors find in the same picture."""
        return replace(
            self,
            hits=self.hits | other.hits,
            counted=self.counted | other.counted,
            elsewhere=self.elsewhere | other.elsewhere,
            decoys=self.decoys | other.decoys,
            landmarks=self.landmarks | other.landmarks,
            recognition=self.recognition | other.recognition,
        )


def judge(
    detectors: Sequence[FaceDetector],
    pixels: np.ndarray,
    faces: Tensor,
    before: dict[str, Detections],
    device: str,
    recogniser: Recogniser | None = None,
    *,
    zones: Tensor | None = None,
) -> Judged:
    """Show the decoded picture to every detector under every condition.

    Args:
        faces: ``(N, 4)`` the faces to hide, in pixels of the picture.
        before: what each detector reported for the uncloaked picture's view.
        recogniser: is asked, too.
        zones: ``(N, 4)`` where decoys were placed, in pixels of the picture; None for none.
    """
    view = view_of(pixels)
    hits: dict[tuple[str, str], list[bool]] = {}
    elsewhere, counted, recognition, decoys, landmarks = {}, {}, {}, {}, {}
    shown = under_conditions(view.pixels)

    def reports(detector: FaceDetector) -> dict[str, Detections]:
        return {condition: ask(detector, seen, device) for condition, (seen, _) in shown.items()}

    for detector, answers in zip(detectors, each(reports, detectors, device=device), strict=True):
        counted[detector.name] = which_found(before[detector.name], faces * view.scale)
        for condition, (_, scale) in shown.items():
            report = answers[condition]
            hits[detector.name, condition] = which_found(report, faces * view.scale * scale)
            if condition == "published":
                known = before[detector.name]
                elsewhere[detector.name] = new_reports(known, report, faces * view.scale)
                landmarks[detector.name] = landmark_errors(known, report, faces * view.scale)
                decoys[detector.name] = [] if zones is None else which_found(report, zones * view.scale)
    if recogniser is not None:
        for condition, (seen, _) in shown.items():
            with torch.no_grad():
                distances = recogniser.distances(to_tensor(seen, device))[0].tolist()
            recognition[condition] = distances
            hits[recogniser.name, condition] = [distance < SAME_PERSON for distance in distances]
    size = (view.pixels.shape[1], view.pixels.shape[0])
    return Judged(pixels, size, hits, counted, elsewhere, decoys, landmarks, recognition)


def describe(
    judged: Judged,
    options: CloakOptions,
    attacked: Sequence[FaceDetector],
    judging: Sequence[FaceDetector],
    everyone: Tensor,
    chosen: Tensor,
    numbered: Tensor,
    before: dict[str, Detections],
    plain: np.ndarray,
    *,
    decoys_placed: int,
    largest_noise: int,
    steps: int,
    seconds: float,
    format_name: str,
    encoder_quality: int | None,
    lossless: bool,
    versions: dict[str, str],
) -> CloakReport:
    """Put everything into a report.

    Args:
        everyone, chosen, numbered: ``(N, 4)`` each, in pixels of the picture: all that was reported, the faces to
            hide, and those among which the person could choose, in the order of their numbers.
        plain: the uncloaked picture in the same encoding, decoded.
    """
    scale = judged.shown[0] / judged.pixels.shape[1]
    place = {tuple(box): number for number, box in enumerate(chosen.tolist())}
    names = {tuple(box): number for number, box in enumerate(numbered.tolist())}
    faces = []
    for box in everyone.tolist():
        number = place.get(tuple(box))
        seen = [
            name
            for name, report in before.items()
            if which_found(report, everyone.new_tensor([box]) * scale)[0]
        ]
        still = (
            [
                name
                for (name, condition), hits in judged.hits.items()
                if condition == "published" and name in before and hits[number]
            ]
            if number is not None
            else seen
        )
        corners = (box[0], box[1], box[2], box[3])
        faces.append(
            FaceReport(
                box=corners,
                number=names.get(tuple(box)),
                hidden=number is not None,
                found_before=tuple(seen),
                found_after=tuple(still),
                quality=compare(crop(plain, corners), crop(judged.pixels, corners)),
            )
        )
    reports = [
        DetectorReport(
            name=detector.name,
            family=detector.family,
            attacked=detector in attacked,
            before=sum(judged.counted[detector.name]),
            after={
                condition: sum(hits)
                for (name, condition), hits in judged.hits.items()
                if name == detector.name
            },
            elsewhere=judged.elsewhere[detector.name],
            decoys=sum(judged.decoys[detector.name]),
            landmark_error=float(np.mean(moved)) if (moved := judged.landmarks[detector.name]) else None,
        )
        for detector in [*attacked, *judging]
    ]
    notes = []
    if judged.shown[0] != judged.pixels.shape[1]:
        notes.append(f"detectors were shown the picture at {judged.shown[0]} x {judged.shown[1]} pixels")
    asked = {detector.name for detector in [*attacked, *judging]}
    if others := [known.name for known in DETECTORS if known.name not in asked]:
        notes.append("known, but not asked: " + ", ".join(others))
    return CloakReport(
        strength=str(options.level),
        levels=options.level.levels,
        attack=options.attack,
        seed=options.seed,
        device=options.device,
        versions=versions,
        steps=steps,
        seconds=seconds,
        size=(judged.pixels.shape[1], judged.pixels.shape[0]),
        judged_at=judged.shown,
        format=format_name,
        encoder_quality=encoder_quality,
        lossless=lossless,
        largest_noise=largest_noise,
        quality=compare(plain, judged.pixels, perceptual=judged.pixels.size < 12_000_000),
        faces=tuple(faces),
        detectors=tuple(reports),
        notes=tuple(notes),
        recognition=RecognitionReport(
            attacked=options.recognition,
            distances={name: tuple(values) for name, values in judged.recognition.items()},
            threshold=SAME_PERSON,
        )
        if judged.recognition
        else None,
        decoys_asked=options.decoys,
        decoys_placed=decoys_placed,
    )
