"""MTCNN: a cascade of three networks over an image pyramid.

Follows facenet-pytorch 2.5.3 step by step: its pyramid, area resampling, thresholds, box arithmetic and three
rounds of non-maximum suppression. What differs is the form: crops of one stage are cut and averaged all at
once through a summed-area table instead of one by one, which is also what makes their gradients cheap.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cloak import models
from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.areas import Areas
from cloak.detectors.geometry.boxes import overlaps, suppress
from cloak.detectors.networks.mtcnn import ONet, PNet, RNet

_WINDOW = 12  # pixels that the first network sees
_STRIDE = 2
_LANDMARKS = 5
_NEAR = 0.1  # least overlap of a window with a place of interest that makes it worth following


@dataclass(frozen=True)
class _Proposals:
    """What the first network thinks of every window of every picture and scale it was asked to keep."""

    boxes: Tensor  # (N, 4) window corners in picture pixels
    logits: Tensor  # (N,) differentiable, threshold not subtracted
    corrections: Tensor  # (N, 4)
    pictures: Tensor  # (N,) int64
    scales: Tensor  # (N,) int64


class MTCNN(FaceDetector):
    """See the module. ``threshold`` of each stage applies to its face probability.

    ``slack`` says how far below their thresholds (in logits) :meth:`candidates` follows proposals through the
    first two stages; what it follows beyond the true cascade never displaces what the true cascade keeps,
    because suppression goes by score.
    """

    name = "mtcnn"
    family = "cascade"

    def __init__(
        self,
        pnet: dict[str, Any],
        rnet: dict[str, Any],
        onet: dict[str, Any],
        *,
        min_face: float = 20.0,
        factor: float = 0.709,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        slack: tuple[float, float] = (1.0, 2.0),
        focus_windows: int = 24,
        focus_crops: int = 10,
    ) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = PNet(), RNet(), ONet()
        self.pnet.load_state_dict(pnet)
        self.rnet.load_state_dict(rnet)
        self.onet.load_state_dict(onet)
        self.min_face, self.factor, self.slack = min_face, factor, slack
        self.threshold = thresholds[2]
        self.limits = tuple(math.log(value / (1 - value)) for value in thresholds)
        self.focus_windows, self.focus_crops = focus_windows, focus_crops
        self.freeze()

    @classmethod
    def load(cls, weights_dir: Path | None = None) -> MTCNN:
        """With the installed weights.

        Raises:
            MissingModelError: they are missing or altered.
        """
        states = [
            torch.load(io.BytesIO(models.read(f"mtcnn-{part}", weights_dir)), weights_only=True)
            for part in ("pnet", "rnet", "onet")
        ]
        return cls(*states)

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        values = pictures * 255.0
        size = pictures.shape[-2:]
        windows = self._propose(values, None, 0.0)
        boxes, index = self._stage_one(windows, size)
        areas = Areas(values, at_once=True)
        logits, corrections = self._refine(areas, boxes, index)
        passed = logits > self.limits[1]
        boxes, index = self._stage_two(
            boxes[passed], index[passed], logits[passed], corrections[passed], size
        )
        logits, corrections, points = self._output(areas, boxes, index)
        passed = logits > self.limits[2]
        scores, index, points = torch.sigmoid(logits[passed]), index[passed], points[passed]
        boxes = _corrected(boxes[passed], corrections[passed])
        kept = suppress(boxes, scores, 0.7, groups=index, relative_to="smaller", pixel=1.0)
        return [
            Detections(boxes[mine], scores[mine], points[mine])
            for mine in (kept[index[kept] == picture] for picture in range(len(pictures)))
        ]

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """All three stages' candidates: windows (stage 0), and the crops that the real cascade hands to the
        second (stage 1) and third network (stage 2, the one that reports).

        Where the crops lie is found without gradient, as in :meth:`detect`; their logits and landmarks are
        then differentiable in the pixels under them. ``focus`` adds the best windows there and follows them
        through all stages whatever the first network says; windows and pyramid levels that cannot become a
        report about any of its boxes are left out.
        """
        check_pictures(pictures)
        values = pictures * 255.0
        size = pictures.shape[-2:]
        windows = self._propose(values, focus, self.slack[0])
        areas = Areas(values, at_once=focus is None)
        with torch.no_grad():
            boxes, index = self._stage_one(windows, size)
            logits, corrections = self._refine(areas, boxes, index)
            near = _near_focus(boxes, index, focus)
            worthy = ((logits > self.limits[1] - self.slack[1]) | near).nonzero()[:, 0]
            if focus is not None:
                most = self.focus_crops * max(1, sum(map(len, focus)))
                rank = logits[worthy] + 4 * near[worthy]
                worthy = worthy[rank.argsort(descending=True)[:most]]
            middle, middle_index = boxes[worthy], index[worthy]
            last, last_index = self._stage_two(
                middle, middle_index, logits[worthy], corrections[worthy], size
            )
        middle_logits, _ = self._refine(areas, middle, middle_index)
        last_logits, last_corrections, points = self._output(areas, last, last_index)
        with torch.no_grad():
            last_boxes = _corrected(last, last_corrections)
            first_boxes = _regressed(windows)
        return [
            _gathered(
                [
                    (first_boxes, windows.logits - self.limits[0], windows.pictures == picture, None),
                    (middle, middle_logits - self.limits[1], middle_index == picture, None),
                    (last_boxes, last_logits - self.limits[2], last_index == picture, points),
                ]
            )
            for picture in range(len(pictures))
        ]

    def _scales(self, height: int, width: int) -> list[float]:
        """The pyramid: from ``min_face`` upwards until the shorter side is under 12 pixels."""
        scale = _WINDOW / self.min_face
        shortest = min(height, width) * scale
        scales = []
        while shortest >= _WINDOW:
            scales.append(scale)
            scale *= self.factor
            shortest *= self.factor
        return scales

    def _propose(self, values: Tensor, focus: Sequence[Tensor] | None, slack: float) -> _Proposals:
        height, width = values.shape[-2:]
        found = []
        for number, scale in enumerate(_levels_for(focus, self._scales(height, width))):
            size = (int(height * scale + 1), int(width * scale + 1))
            level = (interpolate(values, size=size, mode="area") - 127.5) * 0.0078125
            logits, corrections = self.pnet(level.contiguous(memory_format=torch.channels_last))
            with torch.no_grad():
                chosen = logits >= self.limits[0] - slack
                if focus is not None:
                    chosen = self._focused(logits, chosen, scale, focus)
                where = chosen.nonzero()
            picture, row, column = where.unbind(1)
            corner = torch.stack([column, row], dim=1).to(values.dtype) * _STRIDE + 1
            boxes = torch.cat([corner / scale, (corner + _WINDOW - 1) / scale], dim=1).floor()
            found.append(
                _Proposals(
                    boxes=boxes,
                    logits=logits[picture, row, column],
                    corrections=corrections.detach()[picture, :, row, column],
                    pictures=picture,
                    scales=torch.full_like(picture, number),
                )
            )
        if not found:
            none = values.new_zeros(0)
            nothing = torch.zeros(0, dtype=torch.long, device=values.device)
            return _Proposals(none.reshape(0, 4), none, none.reshape(0, 4), nothing, nothing)
        return _Proposals(
            *(torch.cat([getattr(part, field) for part in found]) for field in _Proposals.__annotations__)
        )

    def _focused(self, logits: Tensor, chosen: Tensor, scale: float, focus: Sequence[Tensor]) -> Tensor:
        """Mask ``(B, h, w)`` of the ``chosen`` windows near a focus box and of those that cover one best."""
        _, rows, columns = logits.shape
        device = logits.device
        y = (torch.arange(rows, device=device) * _STRIDE + 1) / scale
        x = (torch.arange(columns, device=device) * _STRIDE + 1) / scale
        corner = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1).reshape(-1, 2)
        windows = torch.cat([corner, corner + (_WINDOW - 1) / scale], dim=1)
        mask = torch.zeros_like(chosen)
        for picture, boxes in enumerate(focus):
            overlap = overlaps(windows, boxes.to(windows))
            near = (overlap > _NEAR).any(dim=1)
            mask[picture] = chosen[picture] & near.view(rows, columns)
            for column in range(len(boxes)):
                likely = (overlap[:, column] > 0.4).nonzero()[:, 0]
                if len(likely):
                    rank = logits[picture].reshape(-1)[likely]
                    best = likely[rank.topk(min(self.focus_windows, len(likely))).indices]
                    mask[picture].view(-1)[best] = True
        return mask

    def _stage_one(self, windows: _Proposals, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Windows to square crops: suppression inside each scale, then across scales, then correction."""
        scores = torch.sigmoid(windows.logits.detach())
        levels = [(windows.scales == scale).nonzero()[:, 0] for scale in torch.unique(windows.scales)]
        survivors = [
            level[suppress(windows.boxes[level], scores[level], 0.5, groups=windows.pictures[level])]
            for level in levels
        ]
        kept = torch.cat([windows.scales[:0], *survivors])
        kept = kept[suppress(windows.boxes[kept], scores[kept], 0.7, groups=windows.pictures[kept])]
        boxes = _squared(_regressed(windows)[kept])
        return _inside(boxes, windows.pictures[kept], size)

    def _stage_two(
        self,
        boxes: Tensor,
        index: Tensor,
        logits: Tensor,
        corrections: Tensor,
        size: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        """Second network's verdicts to the third network's crops."""
        kept = suppress(boxes, torch.sigmoid(logits), 0.7, groups=index)
        return _inside(_squared(_corrected(boxes[kept], corrections[kept])), index[kept], size)

    def _refine(self, areas: Areas, boxes: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        logits, corrections = self.rnet(self._crops(areas, boxes, index, 24))
        return logits, corrections

    def _output(self, areas: Areas, boxes: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, corrections, points = self.onet(self._crops(areas, boxes, index, 48))
        sides = boxes[:, None, 2:4] - boxes[:, None, :2] + 1
        return logits, corrections, sides * points + boxes[:, None, :2] - 1

    def _crops(self, areas: Areas, boxes: Tensor, index: Tensor, size: int) -> Tensor:
        cells = areas.crops(index, _corners(boxes, areas.pictures.shape[-2:]), size)
        return ((cells - 127.5) * 0.0078125).to(self.pnet.conv1.weight.dtype)


def _regressed(windows: _Proposals) -> Tensor:
    sides = (windows.boxes[:, 2:] - windows.boxes[:, :2]).repeat(1, 2)
    return windows.boxes + windows.corrections * sides


def _corrected(boxes: Tensor, corrections: Tensor) -> Tensor:
    sides = (boxes[:, 2:4] - boxes[:, :2] + 1).repeat(1, 2)
    return boxes + corrections * sides


def _squared(boxes: Tensor) -> Tensor:
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(dim=1, keepdim=True).values
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return torch.cat([corner, corner + longest], dim=1)


def _corners(boxes: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pixel ranges ``x1 y1 x2 y2`` of crops, from boxes that count pixels from 1 and include their ends."""
    height, width = size
    whole = boxes.trunc().long()
    first = whole[:, :2].clamp(min=1) - 1
    last = torch.minimum(whole[:, 2:], whole.new_tensor([width, height]))
    return torch.cat([first, last], dim=1)


def _inside(boxes: Tensor, index: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Without the boxes of which nothing lies inside the picture."""
    corners = _corners(boxes, size)
    some = (corners[:, 2:] > corners[:, :2]).all(dim=1)
    return boxes[some], index[some]


def _levels_for(focus: Sequence[Tensor] | None, scales: list[float]) -> list[float]:
    """Without focus all scales; with it those at which a window may grow into a report about one of its boxes."""
    boxes = [] if focus is None else [places for places in focus if len(places)]
    if not boxes:
        return scales
    sides = torch.cat([(places[:, 2:] - places[:, :2]).float() for places in boxes])
    smallest, largest = float(sides.amin()), float(sides.amax())
    return [scale for scale in scales if 0.4 * smallest <= _WINDOW / scale <= 2.2 * largest]


def _near_focus(boxes: Tensor, index: Tensor, focus: Sequence[Tensor] | None) -> Tensor:
    """Which boxes overlap a focus box of their picture, ``(N,)`` bool."""
    near = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for picture, places in enumerate(focus or ()):
        if len(places):
            near |= (index == picture) & (overlaps(boxes, places.to(boxes)) > 0.4).any(dim=1)
    return near


def _gathered(stages: list[tuple[Tensor, Tensor, Tensor, Tensor | None]]) -> Candidates:
    """One picture's entries of all stages as one :class:`Candidates`."""
    boxes, logits, landmarks, numbers = [], [], [], []
    for number, (stage_boxes, stage_logits, mine, points) in enumerate(stages):
        boxes.append(stage_boxes[mine])
        logits.append(stage_logits[mine])
        count = len(boxes[-1])
        numbers.append(torch.full((count,), number, dtype=torch.long, device=mine.device))
        if points is None:
            landmarks.append(stage_boxes.new_full((count, _LANDMARKS, 2), math.nan))
        else:
            landmarks.append(points[mine])
    return Candidates(
        boxes=torch.cat(boxes),
        logits=torch.cat(logits),
        landmarks=torch.cat(landmarks),
        stages=torch.cat(numbers),
        last_stage=len(stages) - 1,
    )
