"""What detectors see in versions of one picture, under every condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found, matches_faces
from cloak.evaluate.compare import landmark_errors, new_detections
from cloak.evaluate.detect import detect_pixels, find_faces
from cloak.pixels import display_picture
from synth.measure.conditions import CONDITIONS

#: What is said of a picture in which too few detectors agree on a face.
NO_FACE: dict[str, Any] = {"faces": [], "seen": {}}


def faces_agreed_on(reports: Mapping[str, Detections], faces: Tensor, families: Mapping[str, str]) -> Tensor:
    """``(N,)`` bool: faces that detectors of at least two families report. What one family alone sees may be a cup.

    Args:
        reports: by detector's name, of the clean picture.
        faces: ``(N, 4)``, every report merged.
        families: of each detector.
    """
    votes: dict[str, Tensor] = {}
    for name, report in reports.items():
        hits = torch.as_tensor(faces_found(report, faces), dtype=torch.bool)
        family = families[name]
        votes[family] = votes.get(family, torch.zeros(len(faces), dtype=torch.bool)) | hits
    if not votes:
        return torch.zeros(len(faces), dtype=torch.bool)
    return torch.stack(list(votes.values())).sum(0) >= min(2, len(votes))


def detect_under_conditions(
    clean: NDArray[np.uint8],
    versions: Mapping[str, NDArray[np.uint8]],
    detectors: Sequence[FaceDetector],
    *,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Ask every detector about every version under every condition.

    Args:
        clean: uint8 ``(H, W, 3)``; says where faces are, and what landmarks and further reports are compared with.
        versions: by name, of the same size; the clean picture is asked about as ``clean`` too.

    Returns:
        ``faces``: the boxes, in pixels of the picture, that detectors of two families see in the clean picture;
        ``seen``: by version, condition and detector: ``found`` (faces), ``reports``, ``right`` (reports about a face),
        ``decoys`` (reports about none, where this detector had seen nothing before), ``landmarks`` (errors of faces
        reported both times); ``boxes``: by version and detector, of all reports under "nothing".
    """
    view = display_picture(clean)
    everywhere, reports = find_faces(detectors, view.pixels, device)
    families = {one.name: one.family for one in detectors}
    faces = everywhere[faces_agreed_on(reports, everywhere, families)]
    if not len(faces):
        return NO_FACE
    seen: dict[str, Any] = {}
    boxes: dict[str, Any] = {}
    shown = {"clean": clean, **versions}
    steps = len(shown) * len(CONDITIONS)
    for place, (version, pixels) in enumerate(shown.items()):
        small = display_picture(pixels).pixels
        for number, (condition, treat) in enumerate(CONDITIONS.items()):
            treated = treat(small)
            scale = treated.shape[1] / small.shape[1]
            for detector in detectors:
                before = _scaled(reports[detector.name], scale)
                report = detect_pixels(detector, treated, device)
                seen.setdefault(version, {}).setdefault(condition, {})[detector.name] = {
                    "found": int(faces_found(report, faces * scale).sum()),
                    "reports": len(report),
                    "right": int(matches_faces(report.boxes, faces * scale).any(1).sum()),
                    "decoys": new_detections(before, report, faces * scale),
                    "landmarks": [round(one, 5) for one in landmark_errors(before, report)],
                }
                if condition == "nothing":
                    boxes.setdefault(version, {})[detector.name] = _rounded(report.boxes / view.scale)
            if progress:
                progress((place * len(CONDITIONS) + number + 1) / steps)
    return {"faces": _rounded(faces / view.scale), "seen": seen, "boxes": boxes}


def _scaled(report: Detections, scale: float) -> Detections:
    points = None if report.landmarks is None else report.landmarks * scale
    return Detections(report.boxes * scale, report.scores, points)


def _rounded(boxes: Tensor) -> list[list[float]]:
    return [[round(side, 1) for side in box] for box in boxes.tolist()]
