"""What changed between the reports of one detector before and after."""

from __future__ import annotations

import torch
from torch import Tensor

from cloak.detectors.base import Detections
from cloak.detectors.geometry.matching import matches_faces


def landmark_errors(before: Detections, after: Detections, faces: Tensor | None = None) -> list[float]:
    """For faces reported both times: the mean distance of the landmarks, in face sizes (mean side of the box).

    Args:
        before, after: reports in the same pixels.
        faces: ``(N, 4)``, the faces that count; None for all that were reported before.
    """
    if before.landmarks is None or after.landmarks is None:
        return []
    same = matches_faces(after.boxes, before.boxes)
    wanted = torch.ones(len(before), dtype=torch.bool)
    if faces is not None:
        wanted = matches_faces(before.boxes, faces).any(1)
    errors = []
    for column in wanted.nonzero()[:, 0].tolist():
        for row in same[:, column].nonzero()[:1, 0].tolist():
            size = (before.boxes[column, 2:] - before.boxes[column, :2]).mean()
            gap = (after.landmarks[row] - before.landmarks[column]).square().sum(1).sqrt().mean()
            errors.append(float(gap / size))
    return errors


def new_detections(before: Detections, after: Detections, faces: Tensor) -> int:
    """How many reports are about none of the faces, nor about anything reported before."""
    known = torch.cat([faces, before.boxes])
    if not len(after):
        return 0
    return int((~matches_faces(after.boxes, known).any(1)).sum()) if len(known) else len(after)
