"""The losses, as pure functions of the candidates of detectors.

Every loss is at least 0, and (close to) 0 once its goal is reached with margin, so that a detector's weight
can shrink with how far it is from evaded. Boxes are ``x1 y1 x2 y2`` in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors.base import Candidates
from cloak.detectors.geometry.boxes import overlaps
from cloak.detectors.geometry.matching import centres_inside, expand_boxes


def hiding_loss(
    candidates: Candidates,
    faces: Tensor,
    *,
    margin: float = 1.0,
    top: int = 64,
    peak: int = 4,
    min_overlap: float = 0.2,
) -> Tensor:
    """``(S,)``, how far each stage of the detector is from missing the faces: the mean of :func:`hiding_by_face`."""
    by_face = hiding_by_face(candidates, faces, margin=margin, top=top, peak=peak, min_overlap=min_overlap)
    return by_face.sum(1) / max(1, len(faces))


def hiding_by_face(
    candidates: Candidates,
    faces: Tensor,
    *,
    margin: float = 1.0,
    top: int = 64,
    peak: int = 4,
    min_overlap: float = 0.2,
) -> Tensor:
    """How far each stage of the detector is from missing each face: a softplus hinge on its strongest candidates.

    A cascade misses a face as soon as one of its stages does, so the smallest value tells how far the
    detector is from evaded; gradients are taken of the sum.

    Args:
        candidates: of the detector in this picture.
        faces: ``(N, 4)`` faces to hide, in the pixels of this picture.
        margin: logits below the detector's threshold that count as hidden.
        top: how many candidates of each widened face box count, weakest pull each.
        peak: how many of the strongest count once more.
        min_overlap: the least overlap with a face of an early stage's candidate that counts: what a cascade looks at
            in the corners of a face's box never becomes a face.

    Returns:
        ``(S, N)``, for each stage and face; 0 for a stage that considers nothing there.
    """
    near = centres_inside(candidates.boxes, expand_boxes(faces, 0.25))
    fitting = overlaps(candidates.boxes, faces) >= min_overlap
    values = []
    for stage in range(candidates.last_stage + 1):
        selected = near if stage == candidates.last_stage else fitting
        if candidates.stages is not None:
            selected = selected & (candidates.stages == stage)[:, None]
        nothing = candidates.logits.sum() * 0
        for column in range(len(faces)):
            logits = candidates.logits[selected[:, column]]
            if len(logits):
                strongest = torch.topk(logits, min(top, len(logits))).values
                hinge = functional.softplus(strongest + margin)
                values.append(hinge.mean() + hinge[:peak].mean())
            else:
                values.append(nothing)
    if not values:
        return candidates.logits.new_zeros(candidates.last_stage + 1, 0)
    return torch.stack(values).reshape(-1, len(faces))


def decoy_loss(candidates: Candidates, zones: Tensor, *, margin: float = 1.0, top: int = 4) -> Tensor:
    """How far each stage of the detector is from seeing a face in each zone; a cascade sees one where every stage does.

    Args:
        candidates: what the detector considers in this picture, asked with the zones as its focus.
        zones: ``(N, 4)`` where a face shall be seen, about as large as the decoy.
        margin: logits above the detector's threshold that count as seen.
        top: how many of the best candidates of each zone are raised.

    Returns:
        ``(S, N)``, for each stage and zone the mean softplus hinge of its strongest fitting candidates. Where none
        fits, those whose centre is in the zone, which overlap it most, are taken; a stage that considers nothing there
        at all is as far as its threshold with margin.
    """
    overlap, centred = overlaps(candidates.boxes, zones), centres_inside(candidates.boxes, zones)
    nothing = candidates.logits.sum() * 0 + functional.softplus(candidates.logits.new_tensor(margin))
    values = []
    for stage in range(candidates.last_stage + 1):
        here = torch.ones_like(candidates.logits, dtype=torch.bool)
        if candidates.stages is not None:
            here = candidates.stages == stage
        for column in range(len(zones)):
            selected = here & (overlap[:, column] >= 0.35)
            if not bool(selected.any()):
                near = (here & centred[:, column]).nonzero()[:, 0]
                selected = near[overlap[near, column].topk(min(top, len(near))).indices]
            logits = candidates.logits[selected]
            if len(logits):
                strongest = torch.topk(logits, min(top, len(logits))).values
                values.append(functional.softplus(margin - strongest).mean())
            else:
                values.append(nothing)
    return torch.stack(values).reshape(-1, len(zones)) if values else nothing.new_zeros(1, 0)


def landmark_loss(
    candidates: Candidates, faces: Tensor, landmarks: list[Tensor], *, share: float = 0.15
) -> Tensor:
    """How far the landmarks are from being wrong by ``share`` of the face size.

    Args:
        candidates: what the detector considers, with landmarks.
        faces: ``(N, 4)`` faces.
        landmarks: for each face ``(K, 2)``, where this detector sees them in the clean picture.
        share: the wanted displacement, in face sizes (mean side of the box).

    Returns:
        A scalar in [0, 1]; 0 where the detector gives no landmarks or no candidate fits a face.
    """
    candidates = candidates.select(candidates.final_stage)
    if candidates.landmarks is None or len(faces) == 0:
        return candidates.logits.sum() * 0
    losses = []
    fitting = overlaps(candidates.boxes, faces) >= 0.5
    for column, truth in enumerate(landmarks):
        chosen = fitting[:, column]
        if not bool(chosen.any()) or len(truth) == 0:
            continue
        size = (faces[column, 2:] - faces[column, :2]).mean()
        gap = (candidates.landmarks[chosen] - truth).square().sum(2).clamp_min(1e-6).sqrt() / size
        strength = torch.softmax(candidates.logits[chosen].detach(), 0)
        losses.append((strength * functional.relu(1 - gap.mean(1) / share)).sum())
    return torch.stack(losses).mean() if losses else candidates.logits.sum() * 0
