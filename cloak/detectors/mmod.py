"""dlib's convolutional face detector with gradients (King, 2015, "Max-Margin Object Detection").

Seven convolutions over every level of a pyramid; each value of their answer is the score of a window of 80 pixels.
:meth:`DlibCnn.detect` is this network on all levels, in a tenth of the time that dlib's own program takes on a
processor; scores agree within .05, and boxes within the size of a step of the pyramid, as the tests check against dlib
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.detectors import native
from cloak.detectors.base import Candidates, Detections, check_pictures
from cloak.detectors.geometry.boxes import suppress
from cloak.detectors.geometry.pyramid import levels
from cloak.detectors.readers.dlib import Network, read_network
from provenance.errors import MissingModelError

#: dlib's scores are about 1 for clear faces; times this they are about as steep as a network's logits.
STEEPNESS = 4.0
#: What dlib puts around the picture, so that faces at its border are seen.
_BORDER = 11
_MIN_SIDE = 40
#: A report whose window is so many times larger or smaller than a face is not about it.
_MAX_SIZE_RATIO = 2.0
#: A window's score depends on so many pixels beyond its middle, rounded up to the network's stride.
_RECEPTIVE_FIELD = 104
#: Windows that overlap by more than this report the same face.
_OVERLAP = 0.4


class DlibCnn(native.NativeDlibCnn):
    """At the picture's own size: faces from about 80 pixels."""

    means: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        network = read_network(path.read_bytes())
        if network.loss != "loss_mmod_" or network.settings[0] != network.settings[1]:
            raise MissingModelError("this dlib model is no face detector")
        self.window = float(network.settings[0])
        self.register_buffer("means", torch.tensor(network.means).view(1, 3, 1, 1))
        convolutions = _folded(network)
        self.convolutions = nn.ModuleList(convolutions)
        self.stride, self.offset = 1, 0.0
        for one in convolutions:
            self.offset += self.stride * ((one.kernel_size[0] - 1) / 2 - int(one.padding[0]))
            self.stride *= one.stride[0]
        self.freeze()

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """Every window at the sizes that the places of interest may have; without focus, at all sizes."""
        check_pictures(pictures)
        result = []
        for number, picture in enumerate(pictures):
            faces = None if focus is None else focus[number]
            boxes, logits = [pictures.new_zeros(0, 4)], [pictures.new_zeros(0)]
            for level, _ in levels(picture[None] * 255, self.window, 1.0, faces, _MIN_SIDE):
                scores, corner = self._windows(level)
                boxes.append(self._placed(corner, level, picture))
                logits.append(scores * STEEPNESS)
            result.append(Candidates(torch.cat(boxes), torch.cat(logits)))
        return result

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        result = []
        for picture in pictures:
            boxes, scores = [picture.new_zeros(0, 4)], [picture.new_zeros(0)]
            if min(picture.shape[-2:]) >= _MIN_SIDE:
                pixels = (picture[None] * 255).round()
                for level, _ in levels(pixels, self.window, 1.0, None, _MIN_SIDE):
                    found, corner = self._windows(level)
                    reported = found > 0
                    boxes.append(self._placed(corner[reported], level, picture))
                    scores.append(found[reported])
            result.append(_strongest(torch.cat(boxes), torch.cat(scores)))
        return result

    def _placed(self, corner: Tensor, level: Tensor, picture: Tensor) -> Tensor:
        """Windows of a level, by their left upper corners, as boxes in pixels of the picture."""
        down, across = (
            side / whole for side, whole in zip(level.shape[-2:], picture.shape[-2:], strict=True)
        )
        size = level.new_tensor([across, down] * 2)
        return (torch.cat([corner, corner + self.window], 1) - _BORDER) / size

    @torch.no_grad()
    def detect_near(self, pictures: Tensor, places: Tensor) -> list[Detections]:
        """What :meth:`detect` reports about some places, faster still: the same levels and windows, but only the
        levels on which a report could be about one of the places, and of those only the surroundings.

        Args:
            pictures: ``(B, 3, H, W)`` RGB in [0, 1].
            places: ``(N, 4)`` in pixels, the same in all pictures.

        Returns:
            As of :meth:`detect`, best first.
        """
        check_pictures(pictures)
        places = places.to(pictures)
        sides = (places[:, 2:] - places[:, :2]).clamp_min(1.0).mean(1)
        result = []
        for picture in pictures:
            boxes, scores = [picture.new_zeros(0, 4)], [picture.new_zeros(0)]
            for level, _ in levels(picture[None] * 255, self.window, 1.0, None, _MIN_SIDE):
                down, across = (
                    side / whole for side, whole in zip(level.shape[-2:], picture.shape[-2:], strict=True)
                )
                ratio = sides * across / self.window
                for place in places[(ratio > 1 / _MAX_SIZE_RATIO) & (ratio < _MAX_SIZE_RATIO)]:
                    size = level.new_tensor([across, down] * 2)
                    left, top, right, bottom = _reach(place * size, level.shape[-2:])
                    found, corner = self._windows(level[..., top:bottom, left:right])
                    corner = corner + corner.new_tensor([left, top])
                    boxes.append(self._placed(corner, level, picture)[found > 0])
                    scores.append(found[found > 0])
            result.append(_strongest(torch.cat(boxes), torch.cat(scores)))
        return result

    def _windows(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Scores ``(M,)`` of windows, and their left upper corners ``(M, 2)``, in pixels of the level with border."""
        # around the levels dlib leaves zeros, after the mean was taken off
        x = functional.pad((level - self.means) / 256, (_BORDER,) * 4)
        for place, convolution in enumerate(self.convolutions):
            x = convolution(functional.relu(x) if place else x)
        rows, columns = x.shape[-2:]
        y, x_place = torch.meshgrid(
            torch.arange(rows, device=level.device), torch.arange(columns, device=level.device), indexing="ij"
        )
        centre = torch.stack([x_place, y], 2).reshape(-1, 2) * self.stride + self.offset
        return x.flatten(), centre - self.window / 2


def _strongest(boxes: Tensor, scores: Tensor) -> Detections:
    """Of windows that report the same face, the best."""
    best = suppress(boxes, scores, _OVERLAP)
    return Detections(boxes[best], torch.sigmoid(scores[best]))


def _reach(place: Tensor, size: Sequence[int]) -> tuple[int, int, int, int]:
    """The part of a level, ``size`` high and wide, on which windows about a place depend; it begins where the network's
    strides do.
    """
    left, top = (max(0, int(side - _RECEPTIVE_FIELD) // 8 * 8) for side in place[:2].tolist())
    right, bottom = (int(side + _RECEPTIVE_FIELD) + 1 for side in place[2:].tolist())
    return min(left, size[1] - 1), min(top, size[0] - 1), min(right, size[1]), min(bottom, size[0])


def _folded(network: Network) -> list[nn.Conv2d]:
    """The convolutions, each with the scaling that follows it; between them are nothing but rectifiers."""
    found: list[nn.Conv2d] = []
    for layer in network.layers:
        if layer.kind == "conv" and layer.weight is not None and layer.bias is not None:
            out, inside, height, width = layer.weight.shape
            down, across, above, beside = layer.shape[2:]
            convolution = nn.Conv2d(inside, out, (height, width), (down, across), (above, beside))
            convolution.weight.data = torch.from_numpy(layer.weight.copy())
            convolution.bias.data = torch.from_numpy(layer.bias.copy())  # type: ignore[union-attr]
            found.append(convolution)
        elif layer.kind == "affine" and found and layer.weight is not None and layer.bias is not None:
            gain = torch.from_numpy(layer.weight.copy())
            found[-1].weight.data *= gain.view(-1, 1, 1, 1)
            found[-1].bias.data = found[-1].bias.data * gain + torch.from_numpy(layer.bias.copy())  # type: ignore[union-attr]
        elif layer.kind != "relu":
            raise MissingModelError(f"found a {layer.kind} layer where this network has none")
    return found
