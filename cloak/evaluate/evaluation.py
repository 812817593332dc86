"""Evaluation of the decoded picture by every detector, and the report made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cloak.detectors import DETECTORS
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.advice import advise
from cloak.evaluate.compare import landmark_errors, new_detections
from cloak.evaluate.detect import detect_pixels
from cloak.evaluate.presence import missing_detectors
from cloak.evaluate.quality import compare, crop
from cloak.evaluate.report import CloakReport, DetectorReport, FaceReport, RecognitionReport
from cloak.options import CloakOptions
from cloak.parallel import map_parallel
from cloak.pixels import display_picture, render_conditions, to_tensor
from cloak.recognition.objective import Recogniser
from cloak.veils.visibility import dislike

#: Weight of a face that is still found, by condition, when rounds are compared.
CONDITION_WEIGHTS = {"published": 100.0, "jpeg75": 10.0, "half": 1.0}


@dataclass(frozen=True)
class Evaluation:
    """What detectors find in the decoded picture.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, decoded.
        display_size: width and height of what detectors were shown.
        detected: by detector and condition, for each face to hide: whether it is found.
        detected_before: by detector, for each face to hide: whether it was found before; only those count.
        elsewhere: by detector, the reports where none was before.
        decoys: by detector, for each decoy: whether it is reported as published.
        landmarks: by detector, for each face to hide that it still reports as published: how far its landmarks have
            moved, in face sizes.
        recognition: by encoder and condition, for each face to hide: how far the encoder sees it from itself.
        same_person: by encoder, the distance below which it takes two faces for one person's.
    """

    pixels: np.ndarray
    display_size: tuple[int, int]
    detected: dict[tuple[str, str], list[bool]]
    detected_before: dict[str, list[bool]]
    elsewhere: dict[str, int]
    decoys: dict[str, list[bool]] = field(default_factory=dict)
    landmarks: dict[str, list[float]] = field(default_factory=dict)
    recognition: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    same_person: dict[str, float] = field(default_factory=dict)

    def residual(self, attacked: Sequence[FaceDetector]) -> float:
        """Weighted number of faces still found: 0 once every attacked detector misses every face in every condition."""
        names = {detector.name for detector in attacked}
        return sum(
            CONDITION_WEIGHTS[condition] * sum(detected)
            for (name, condition), detected in self.detected.items()
            if name in names
        )

    def merged_with(self, other: Evaluation) -> Evaluation:
        """Together with the evaluation of other detectors on the same picture."""
        return replace(
            self,
            detected=self.detected | other.detected,
            detected_before=self.detected_before | other.detected_before,
            elsewhere=self.elsewhere | other.elsewhere,
            decoys=self.decoys | other.decoys,
            landmarks=self.landmarks | other.landmarks,
            recognition=self.recognition | other.recognition,
            same_person=self.same_person | other.same_person,
        )


def evaluate_picture(
    detectors: Sequence[FaceDetector],
    pixels: np.ndarray,
    faces: Tensor,
    before: dict[str, Detections],
    device: str,
    recognisers: Sequence[Recogniser] = (),
    *,
    zones: Tensor | None = None,
) -> Evaluation:
    """Run every detector on the decoded picture under every condition.

    Args:
        faces: ``(N, 4)`` the faces to hide, in pixels of the picture.
        before: what each detector reported for the uncloaked picture's view.
        recognisers: face recognition to evaluate as well.
        zones: ``(N, 4)`` where decoys were placed, in pixels of the picture; None for none.
    """
    displayed = display_picture(pixels)
    detected: dict[tuple[str, str], list[bool]] = {}
    elsewhere, detected_before, recognition, decoys, landmarks = {}, {}, {}, {}, {}
    renderings = render_conditions(displayed.pixels)

    def reports(detector: FaceDetector) -> dict[str, Detections]:
        return {
            condition: detect_pixels(detector, seen, device) for condition, (seen, _) in renderings.items()
        }

    for detector, answers in zip(detectors, map_parallel(reports, detectors, device=device), strict=True):
        detected_before[detector.name] = faces_found(before[detector.name], faces * displayed.scale).tolist()
        for condition, (_, scale) in renderings.items():
            report = answers[condition]
            detected[detector.name, condition] = faces_found(report, faces * displayed.scale * scale).tolist()
            if condition == "published":
                known = before[detector.name]
                elsewhere[detector.name] = new_detections(known, report, faces * displayed.scale)
                landmarks[detector.name] = landmark_errors(known, report, faces * displayed.scale)
                decoys[detector.name] = (
                    [] if zones is None else faces_found(report, zones * displayed.scale).tolist()
                )
    limits = {one.name: one.network.same_person for one in recognisers}
    for recogniser in recognisers:
        for condition, (seen, _) in renderings.items():
            with torch.no_grad():
                distances = recogniser.distances(to_tensor(seen, device))[0].tolist()
            recognition[recogniser.name, condition] = distances
            detected[recogniser.name, condition] = [gap < limits[recogniser.name] for gap in distances]
    size = (displayed.pixels.shape[1], displayed.pixels.shape[0])
    return Evaluation(
        pixels, size, detected, detected_before, elsewhere, decoys, landmarks, recognition, limits
    )


def build_report(
    evaluation: Evaluation,
    options: CloakOptions,
    attacked: Sequence[FaceDetector],
    judging: Sequence[FaceDetector],
    all_faces: Tensor,
    selected: Tensor,
    confirmed_faces: Tensor,
    before: dict[str, Detections],
    uncloaked: np.ndarray,
    *,
    attacked_encoders: Sequence[str],
    decoys_placed: int,
    largest_noise: int,
    steps: int,
    seconds: float,
    format_name: str,
    encoder_quality: int | None,
    lossless: bool,
    versions: dict[str, str],
) -> CloakReport:
    """The report of a cloak.

    Args:
        all_faces, selected, confirmed_faces: ``(N, 4)`` each, in pixels of the picture: all that was reported, the
            faces to hide, and those among which the person could choose, in the order of their numbers.
        attacked_encoders: names of the encoders of faces that the cloak was made against.
        uncloaked: the uncloaked picture in the same encoding, decoded.
    """
    scale = evaluation.display_size[0] / evaluation.pixels.shape[1]
    place = {tuple(box): number for number, box in enumerate(selected.tolist())}
    names = {tuple(box): number for number, box in enumerate(confirmed_faces.tolist())}
    never = [False] * len(selected)
    faces = []
    for box in all_faces.tolist():
        number = place.get(tuple(box))
        found_before = [
            name
            for name, report in before.items()
            if faces_found(report, all_faces.new_tensor([box]) * scale).tolist()[0]
        ]
        found_by = (
            {
                condition: tuple(
                    name for name in before if evaluation.detected.get((name, condition), never)[number]
                )
                for condition in CONDITION_WEIGHTS
            }
            if number is not None
            else {}
        )
        corners = (box[0], box[1], box[2], box[3])
        faces.append(
            FaceReport(
                box=corners,
                number=names.get(tuple(box)),
                chosen=number is not None,
                found_before=tuple(found_before),
                found_by=found_by,
                quality=compare(crop(uncloaked, corners), crop(evaluation.pixels, corners)),
                dislike=None
                if number is None
                else dislike(crop(uncloaked, corners), crop(evaluation.pixels, corners)).total,
            )
        )
    reports = [
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
            landmark_error=float(np.mean(moved)) if (moved := evaluation.landmarks[detector.name]) else None,
        )
        for detector in [*attacked, *judging]
    ]
    notes = []
    if evaluation.display_size[0] != evaluation.pixels.shape[1]:
        notes.append(
            f"detectors were shown the picture at {evaluation.display_size[0]} x {evaluation.display_size[1]} pixels"
        )
    asked = {detector.name for detector in [*attacked, *judging]}
    if others := [known.name for known in DETECTORS if known.name not in asked]:
        notes.append("known, but not asked: " + ", ".join(others))
    recognition = tuple(
        RecognitionReport(
            encoder=encoder,
            attacked=encoder in attacked_encoders,
            distances={
                condition: tuple(values)
                for (name, condition), values in evaluation.recognition.items()
                if name == encoder
            },
            threshold=limit,
        )
        for encoder, limit in evaluation.same_person.items()
    )
    return CloakReport(
        strength=str(options.level),
        levels=options.level.levels,
        attack=options.attack,
        veil=options.chosen_veil.value,
        seed=options.seed,
        device=options.device,
        versions=versions,
        steps=steps,
        seconds=seconds,
        size=(evaluation.pixels.shape[1], evaluation.pixels.shape[0]),
        judged_at=evaluation.display_size,
        format=format_name,
        encoder_quality=encoder_quality,
        lossless=lossless,
        largest_noise=largest_noise,
        quality=compare(
            uncloaked, evaluation.pixels, perceptual=evaluation.pixels.size < 12_000_000 and not options.fast
        ),
        faces=tuple(faces),
        detectors=tuple(reports),
        notes=tuple(notes),
        recognition=recognition,
        decoys_asked=options.decoys,
        decoys_placed=decoys_placed,
        advice=advise(
            faces,
            reports,
            options,
            (evaluation.pixels.shape[1], evaluation.pixels.shape[0]),
            missing_detectors(options.weights),
            recognition,
        ),
    )
