"""Which box reports which face: the rules by which reports are matched with faces and with each other.

Boxes are ``(N, 4)`` ``x1 y1 x2 y2`` in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cloak.detectors.base import Detections
from cloak.detectors.geometry.boxes import overlaps


def expand_boxes(boxes: Tensor, margin: float) -> Tensor:
    """``(N, 4)`` boxes, each side moved outwards by ``margin`` times the box's size."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return boxes + margin * torch.stack([-width, -height, width, height], 1)


def centres_inside(boxes: Tensor, zones: Tensor) -> Tensor:
    """``(M, N)`` bool: is the centre of box m inside zone n?"""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    x, y = centres[:, :1], centres[:, 1:]
    return (x >= zones[:, 0]) & (x <= zones[:, 2]) & (y >= zones[:, 1]) & (y <= zones[:, 3])


def matches_faces(boxes: Tensor, faces: Tensor, *, threshold: float = 0.3) -> Tensor:
    """``(M, N)`` bool: does box m report face n?

    It does when they overlap by at least ``threshold`` (intersection over union), or when the box's centre is
    inside the face and its area between a quarter and four times the face's: a badly fitting box around a
    face still gives the face away.
    """
    if len(boxes) == 0 or len(faces) == 0:
        return torch.zeros(len(boxes), len(faces), dtype=torch.bool, device=boxes.device)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)[:, None]
    target = (faces[:, 2:] - faces[:, :2]).clamp_min(0).prod(1)[None]
    similar = (areas >= target / 4) & (areas <= target * 4)
    return (overlaps(boxes, faces) >= threshold) | (centres_inside(boxes, faces) & similar)


def same_face(boxes: Tensor, faces: Tensor, *, threshold: float = 0.3) -> Tensor:
    """``(M, N)`` bool: do box m and face n frame the same face?

    Stricter than :func:`matches_faces`, for counting faces: a body is no face, although a face's centre lies in it.
    One of these must hold: they overlap by at least ``threshold`` (intersection over union); they are alike in size,
    neither twice the other, and each has the other's centre inside; one is a loose frame around the other, up to four
    times its area, and their centres are apart by at most an eighth of its sides.
    """
    if len(boxes) == 0 or len(faces) == 0:
        return torch.zeros(len(boxes), len(faces), dtype=torch.bool, device=boxes.device)
    sides, target = (
        (boxes[:, 2:] - boxes[:, :2]).clamp_min(0)[:, None],
        (faces[:, 2:] - faces[:, :2]).clamp_min(0)[None],
    )
    ratio = sides.prod(2) / target.prod(2).clamp_min(1e-9)
    alike = (ratio > 1 / 2) & (ratio < 2) & centres_inside(boxes, faces) & centres_inside(faces, boxes).T
    apart = ((boxes[:, :2] + boxes[:, 2:])[:, None] - (faces[:, :2] + faces[:, 2:])[None]).abs() / 2
    around = (ratio > 1 / 4) & (ratio < 4) & (apart <= torch.maximum(sides, target) / 8).all(2)
    return (overlaps(boxes, faces) >= threshold) | alike | around


def faces_found(detections: Detections, faces: Tensor) -> Tensor:
    """``(N,)`` bool: which faces does the detector report?"""
    return matches_faces(detections.boxes, faces).any(0)


def merge_faces(reports: Sequence[Detections]) -> Tensor:
    """The distinct faces that several detectors report, ``(N, 4)``, largest first.

    Reports that :func:`same_face` counts as the same face become one box, the median.
    """
    boxes = [report.boxes for report in reports if len(report)]
    if not boxes:
        return torch.zeros(0, 4)
    all_boxes = torch.cat(boxes).float().cpu()
    groups: list[list[Tensor]] = []
    for box in all_boxes:
        if not bool(torch.isfinite(box).all()) or bool((box[2:] <= box[:2]).any()):
            continue
        for group in groups:
            middle = torch.stack(group).median(0).values
            if bool(same_face(box[None], middle[None])):
                group.append(box)
                break
        else:
            groups.append([box])
    if not groups:
        return torch.zeros(0, 4)
    faces = torch.stack([torch.stack(group).median(0).values for group in groups])
    size = (faces[:, 2:] - faces[:, :2]).prod(1)
    return faces[torch.argsort(size, descending=True, stable=True)]
