"""Evaluation of the decoded picture by every detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.compare import landmark_errors, new_detections
from cloak.evaluate.detect import detect_pixels
from cloak.parallel import map_parallel
from cloak.pixels import display_picture, render_conditions, to_tensor
from cloak.recognition.objective import Recogniser

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
