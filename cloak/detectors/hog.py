"""dlib's frontal face detector with gradients: histograms of oriented gradients and five linear filters.

The features are those of Felzenszwalb, Girshick, McAllester and Ramanan (2010, "Object Detection with
Discriminatively Trained Part-Based Models", section 6): cells of 8 pixels, 18 signed and 9 unsigned orientations and 4
sums, normalised by the four blocks around each cell and cut at 0.2. The filters are dlib's own, asked of the installed
dlib. :meth:`DlibHog.detect` is dlib's. An orientation is one of 18 on the way forward, and smooth on the way back.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors import native
from cloak.detectors.base import Candidates, check_pictures
from cloak.detectors.geometry.pyramid import STEP, levels
from cloak.detectors.readers.dlib import read_filters

_CELL = 8
_BANDS = 31
#: Side in pixels of a reported box at the size at which its face was found.
_BOX = 73
#: dlib's scores are about 1 for clear faces; times this they are about as steep as a network's logits.
STEEPNESS = 4.0
_SHARPNESS = 30.0
_MIN_SIDE = 64


class DlibHog(native.NativeDlibHog):
    """Looks as face_recognition does, at the picture enlarged once."""

    filters: Tensor
    limits: Tensor
    directions: Tensor

    def __init__(self) -> None:
        super().__init__()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "filters"
            self._detector.save(str(path))
            filters, limits = read_filters(path.read_bytes())
        self.register_buffer("filters", torch.from_numpy(filters))
        self.register_buffer("limits", torch.from_numpy(limits))
        angles = torch.arange(18) * (math.pi / 9)
        self.register_buffer("directions", torch.stack([angles.cos(), angles.sin()], 1))
        self.freeze()

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """Every window at the sizes that the places of interest may have; without focus, at all sizes."""
        check_pictures(pictures)
        result = []
        for number, picture in enumerate(pictures):
            faces = None if focus is None else focus[number]
            boxes, logits = [pictures.new_zeros(0, 4)], [pictures.new_zeros(0)]
            for level, steps in levels(picture[None] * 255, _BOX, 2.0, faces, _MIN_SIDE):
                scores = functional.conv2d(
                    functional.pad(self.features(level), _margins(self.filters)), self.filters
                )
                scores = (scores[0] - self.limits[:, None, None]).amax(0)
                y, x = torch.meshgrid(
                    *(torch.arange(side, device=level.device) for side in scores.shape), indexing="ij"
                )
                # a window's first cell: the padding comes first, and the outermost cells have no features
                corner = (
                    torch.stack([x, y], 2).reshape(-1, 2).to(level) - _margins(self.filters)[0] + 1
                ) * _CELL + 5
                boxes.append(torch.cat([_placed(corner, steps), _placed(corner + _BOX - 1, steps) + 1], 1))
                logits.append(scores.flatten() * STEEPNESS)
            result.append(Candidates(torch.cat(boxes), torch.cat(logits)))
        return result

    def features(self, level: Tensor) -> Tensor:
        """``(1, 31, rows, columns)`` features of ``(1, 3, H, W)`` pixels in 0 to 255; a cell is 8 pixels, and the
        outermost cells have none.
        """
        across = level[..., 1:-1, 2:] - level[..., 1:-1, :-2]
        down = level[..., 2:, 1:-1] - level[..., :-2, 1:-1]
        strongest = (across.square() + down.square()).argmax(1, keepdim=True)
        across, down = across.gather(1, strongest), down.gather(1, strongest)
        length = (across.square() + down.square() + 1e-6).sqrt()
        cosine = (across * self.directions[:, :1, None] + down * self.directions[:, 1:, None]) / length
        soft = torch.softmax(_SHARPNESS * cosine, 1)
        hard = torch.zeros_like(soft).scatter_(1, cosine.argmax(1, keepdim=True), 1.0)
        histograms = self._cells(length * (soft + (hard - soft).detach()))
        unsigned = histograms[:, :9] + histograms[:, 9:]
        energy = unsigned.square().sum(1, keepdim=True)
        block = 1 / (functional.avg_pool2d(energy, 2, 1) * 4 + 1e-4).sqrt()
        inner = (..., slice(1, -1), slice(1, -1))
        near = (
            block[..., 1:, 1:],
            block[..., :-1, 1:],
            block[..., 1:, :-1],
            block[..., :-1, :-1],
        )
        signed = [(histograms[inner] * one).clamp_max(0.2) for one in near]
        plain = [(unsigned[inner] * one).clamp_max(0.2) for one in near]
        sums = [0.2357 * one.sum(1, keepdim=True) for one in signed]
        return torch.cat([0.5 * torch.stack(signed).sum(0), 0.5 * torch.stack(plain).sum(0), *sums], 1)

    def _cells(self, votes: Tensor) -> Tensor:
        """Votes of the inner pixels ``(1, 18, H - 2, W - 2)`` spread bilinearly over the cells' centres."""
        rows, columns = (_spread(side, votes.device).to(votes.dtype) for side in votes.shape[-2:])
        return rows @ votes @ columns.T


@lru_cache(maxsize=256)
def _spread(inner: int, device: torch.device) -> Tensor:
    """``(cells, inner)``: how much each inner pixel of a row counts in each cell; pixels that a last cell has beyond
    the picture's border are as the last inner one.
    """
    cells = (inner + 2 + _CELL // 2) // _CELL
    place = torch.arange(1, cells * _CELL - 1)
    centre = (torch.arange(cells)[:, None] + 0.5) * _CELL
    share = (1 - (place + 0.5 - centre).abs() / _CELL).clamp_min(0)
    spread = torch.zeros(cells, inner)
    return spread.index_add_(1, (place - 1).clamp_max(inner - 1), share).to(device)


def _margins(filters: Tensor) -> tuple[int, int, int, int]:
    """Empty cells left, right, above and below, so that windows may reach beyond the picture."""
    height, width = filters.shape[-2:]
    return (width - 1) // 2, width // 2, (height - 1) // 2, height // 2


def _placed(points: Tensor, steps: int) -> Tensor:
    """From a level's pixels to the picture's, with the offsets that dlib adds at each step."""
    grown = (1 / STEP) ** steps
    return (points * grown + 1.5 * (grown - 1)) / 2 - points.new_tensor([1.25, 0.75])
