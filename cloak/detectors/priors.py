"""What detectors share whose boxes are corrections to anchors ("priors" in SSD, Liu et al., 2016)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import suppress

#: Of the corrections to an anchor's place and to its size.
VARIANCES = (0.1, 0.2)
_MEAN = (104.0, 117.0, 123.0)


def decode_boxes(
    corrections: Tensor, centre: Tensor, side: Tensor | float, *, most_growth: float | None = None
) -> Tensor:
    """Boxes ``(..., 4)``, ``x1 y1 x2 y2`` in pixels, from corrections to square anchors.

    Args:
        corrections: ``(..., 4)``: of the centre in sides, and of the logarithm of width and height.
        centre: ``(..., 2)`` of the anchors, x and y in pixels.
        side: ``(..., 1)`` of the anchors in pixels, or one for all.
        most_growth: limit of that logarithm.
    """
    middle = centre + corrections[..., :2] * VARIANCES[0] * side
    growth = corrections[..., 2:] * VARIANCES[1]
    half = side * torch.exp(growth if most_growth is None else growth.clamp(max=most_growth)) / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def decode_landmarks(corrections: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    """Landmarks ``(B, M, 5, 2)``, x and y in pixels.

    Args:
        corrections: ``(B, M, 10)``, in sides.
        centre, side: ``(M, 2)`` and ``(M, 1)`` of the anchors, in pixels.
    """
    points = corrections.reshape(*corrections.shape[:-1], 5, 2)
    return centre[:, None] + points * VARIANCES[0] * side[:, None]


class PriorDetector(FaceDetector):
    """Asks its network everywhere, with blue first and less (104, 117, 123); each anchor is a candidate.

    Attributes:
        threshold: the least probability of a face.
        overlap: above which the less probable of two boxes falls; both border pixels count.
        inclusive: a face with just the threshold's probability counts.
    """

    overlap = 0.3
    inclusive = False
    mean: Tensor

    def __init__(self, network: nn.Module, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.limit = math.log(threshold / (1 - threshold))
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1))
        self.freeze()

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        logits, boxes, landmarks = self._everywhere((pictures * 255.0).round(), exact=True)
        result = []
        for picture in range(len(pictures)):
            found = logits[picture] >= self.limit if self.inclusive else logits[picture] > self.limit
            scores, mine = torch.sigmoid(logits[picture][found]), boxes[picture][found]
            kept = suppress(mine, scores, self.overlap, pixel=1.0)
            points = None if landmarks is None else landmarks[picture][found][kept]
            result.append(Detections(mine[kept], scores[kept], points))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """One candidate per anchor, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        logits, boxes, landmarks = self._everywhere(pictures * 255.0, exact=False)
        return [
            Candidates(
                boxes[picture].detach(),
                logits[picture] - self.limit,
                None if landmarks is None else landmarks[picture],
            )
            for picture in range(len(pictures))
        ]

    @abstractmethod
    def _everywhere(self, values: Tensor, *, exact: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits ``(B, M)``, boxes ``(B, M, 4)`` and landmarks ``(B, M, 5, 2)`` of all anchors, in pixels.

        Args:
            values: ``(B, 3, H, W)``, red first, 0 to 255.
            exact: as the original program computes, rather than with useful gradients.
        """

    def _input(self, values: Tensor) -> Tensor:
        """What the network is shown."""
        return values.flip(1) - self.mean
