"""What face detectors in ONNX files have in common: fitting the picture to the graph, and boxes from its outputs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from cloak.detectors.base import Candidates, Detections, FaceDetector, check_pictures
from cloak.detectors.geometry.boxes import suppress
from cloak.detectors.geometry.resample import opencv_bilinear
from cloak.detectors.readers.onnx import Graph
from cloak.detectors.readers.onnx_graph import OnnxModule
from cloak.detectors.readers.onnx_logits import before_activations, logit
from provenance.errors import MissingModelError

#: Declared sides below this many pixels are what an exporter happened to trace with, not what the graph is limited to.
_LEAST_DECLARED = 96
_MOST_DECLARED = 4096
#: Logits beyond this decide nothing any more.
_MOST_LOGIT = 80.0
#: Candidates are at most this many times as large as what the network was shown.
_MOST_GROWTH = 4.0


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes the graph's input.

    Attributes:
        swapped: blue first.
        mean, scale: ``(value - mean) * scale`` of values 0 to 255, in the order the graph has its channels.
        multiple: sides are padded to a multiple of so many pixels where the graph takes any size.
        fill: value 0 to 255 of the padding.
        corner: the picture lies in the upper left corner of a fixed size, not in its middle.
        overlap: of boxes, from which on the weaker falls.
        pixel: 1 where both border pixels count for that, else 0.
    """

    swapped: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    multiple: int = 32
    fill: float = 0.0
    corner: bool = True
    overlap: float = 0.4
    pixel: float = 0.0


@dataclass(frozen=True)
class Raw:
    """Everything a graph considers, in pixels of its own input: logits ``(B, M)``, boxes ``(B, M, 4)``, and landmarks
    ``(B, M, K, 2)`` or None.
    """

    logits: Tensor
    boxes: Tensor
    landmarks: Tensor | None = None


class OnnxFaceDetector(FaceDetector):
    """A detector whose network is an ONNX graph of one picture ``(1 or B, 3, H, W)``.

    Args:
        graph: see there.
        preparation: of the picture.
        threshold: the least probability of a face.
        size: height and width of the input; None where the graph takes any.

    Attributes:
        letterbox: "corner" or "middle" where the whole picture is fitted into one size, else "".
        side: the longer side of that size; 0 where there is none.
        shortened: less than the whole graph is run, because the file goes on to choose among its boxes.
    """

    mean: Tensor

    def __init__(
        self, graph: Graph, preparation: Preparation, threshold: float, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.preparation, self.threshold, self.size = preparation, threshold, size
        self.shortened = False
        self.limit = math.log(threshold / (1 - threshold))
        self.letterbox = "" if size is None else ("corner" if preparation.corner else "middle")
        self.side = max(size) if size else 0
        self.register_buffer("mean", torch.tensor(preparation.mean).reshape(1, 3, 1, 1))
        shown = probe(size, preparation)
        self.network = OnnxModule(before_activations(graph))
        self._scores: list[Tensor] = []
        self.forms: tuple[str, ...] = ()
        self.forms = _forms(self._heard(OnnxModule(graph), shown), self._heard(self.network, shown))
        self.freeze()

    def _heard(self, network: OnnxModule, shown: Tensor) -> list[Tensor]:
        """The scores that decoding comes upon, as a network puts them out.

        Raises:
            MissingModelError: the outputs cannot be decoded.
        """
        self._scores = []
        outputs = _run(network, shown)
        try:
            self.decode(outputs, *shown.shape[-2:])
        except (RuntimeError, ValueError, IndexError) as error:
            shapes = [list(one.shape) for one in outputs][:15]
            raise MissingModelError(
                f"the ONNX model's outputs are {shapes}, which is none of {self.family}'s"
            ) from error
        heard, self._scores = self._scores, []
        return heard

    @abstractmethod
    def decode(self, outputs: Sequence[Tensor], height: int, width: int) -> Raw:
        """From the outputs for one picture to what the graph considers; scores by way of :meth:`logits_of`, each output
        in the same order every time.
        """

    @torch.no_grad()
    def detect(self, pictures: Tensor) -> list[Detections]:
        check_pictures(pictures)
        raw = self._everywhere((pictures * 255.0).round(), exact=True)
        result = []
        for picture in range(len(pictures)):
            boxes = raw.boxes[picture]
            found = (raw.logits[picture] >= self.limit) & torch.isfinite(boxes).all(1)
            scores, mine = torch.sigmoid(raw.logits[picture][found]), boxes[found]
            kept = suppress(mine, scores, self.preparation.overlap, pixel=self.preparation.pixel)
            points = None if raw.landmarks is None else raw.landmarks[picture][found][kept]
            result.append(Detections(mine[kept], scores[kept], points))
        return result

    def candidates(self, pictures: Tensor, focus: Sequence[Tensor] | None = None) -> list[Candidates]:
        """Everything the graph considers, everywhere; ``focus`` changes nothing."""
        check_pictures(pictures)
        raw = self._everywhere(pictures * 255.0)
        return [
            Candidates(
                raw.boxes[picture].detach(),
                raw.logits[picture] - self.limit,
                None if raw.landmarks is None else raw.landmarks[picture],
            )
            for picture in range(len(pictures))
        ]

    def logits_of(self, number: int, scores: Tensor) -> Tensor:
        """Scores ``(1, M, 1)``, or those of no face and face ``(1, M, 2)``, as logits ``(1, M)``.

        Args:
            number: which of the outputs with scores it is, from 0.
            scores: as the graph puts them out.
        """
        if not self.forms:  # when loading: found out is what they are
            self._scores.append(scores.detach())
            return scores[..., 0]
        if self.forms[number] == "probability":
            return logit(scores[..., -1])
        raw = scores[..., 1] - scores[..., 0] if scores.shape[-1] == 2 else scores[..., 0]
        return raw.clamp(-_MOST_LOGIT, _MOST_LOGIT)

    def _everywhere(self, values: Tensor, *, exact: bool = False) -> Raw:
        """What the graph considers, in pixels of the picture of values 0 to 255."""
        shown, (across, down), (left, top) = self._fitted(values, exact=exact)
        if self.preparation.swapped:
            shown = shown.flip(1)
        shown = ((shown - self.mean) * self.preparation.scale).contiguous(memory_format=torch.channels_last)
        size = shown.shape[-2:]
        # one by one: many graphs were made for one picture, whatever they declare
        each = [self.decode(self.network(one[None]), *size) for one in shown]
        raw = [torch.cat([getattr(one, part) for one in each]) for part in ("logits", "boxes")]
        stretch, corner = raw[1].new_tensor([across, down]), raw[1].new_tensor([left, top])
        bound = _MOST_GROWTH * max(size)
        boxes = torch.nan_to_num(raw[1], 0.0, bound, -bound).clamp(-bound, bound)
        boxes = (boxes - corner.repeat(2)) * stretch.repeat(2)
        points = [one.landmarks for one in each if one.landmarks is not None]
        landmarks = (torch.cat(points) - corner) * stretch if len(points) == len(each) else None
        return Raw(raw[0], boxes, landmarks)

    def _fitted(self, values: Tensor, *, exact: bool) -> tuple[Tensor, tuple[float, float], tuple[int, int]]:
        """The picture as the graph takes it; pixels of the picture per pixel of it, across and down; and where the
        picture lies in it, from the left and from the top.
        """
        height, width = values.shape[-2:]
        fill = self.preparation.fill
        if self.size is None:
            multiple = self.preparation.multiple
            right, bottom = (-width) % multiple, (-height) % multiple
            return pad(values, (0, right, 0, bottom), value=fill), (1.0, 1.0), (0, 0)
        if self.preparation.corner and height == width == self.side:
            values, height, width = _without_margin(values, *self.size)
        scale = min(self.size[0] / height, self.size[1] / width)
        new = max(1, int(height * scale + 1e-6)), max(1, int(width * scale + 1e-6))
        if new != (height, width):
            if exact:
                values = opencv_bilinear(values, *new)
            else:
                values = interpolate(values, size=new, mode="bilinear", align_corners=False)
        free = self.size[0] - new[0], self.size[1] - new[1]
        top, left = (0, 0) if self.preparation.corner else (free[0] // 2, free[1] // 2)
        values = pad(values, (left, free[1] - left, top, free[0] - top), value=fill)
        return values, (width / new[1], height / new[0]), (left, top)


@torch.no_grad()
def _run(network: OnnxModule, shown: Tensor) -> tuple[Tensor, ...]:
    """The outputs, which must be finite."""
    results: tuple[Tensor, ...] = network(shown)
    if not all(bool(torch.isfinite(one).all()) for one in results if one.is_floating_point()):
        raise MissingModelError("the ONNX model makes values that are not finite")
    return results


def probe(size: tuple[int, int] | None, preparation: Preparation) -> Tensor:
    """A seeded picture as a graph takes it, ``(1, 3, H, W)``: smooth light with some noise."""
    height, width = size or (128, 160)
    generator = torch.Generator().manual_seed(5)
    rough = torch.rand((1, 3, 9, 9), generator=generator) * 255
    smooth = interpolate(rough, size=(height, width), mode="bilinear", align_corners=False)
    noisy = (smooth + 20 * torch.randn(smooth.shape, generator=generator)).clamp(0, 255)
    return (noisy - torch.tensor(preparation.mean).reshape(1, 3, 1, 1)) * preparation.scale


def declared_size(graph: Graph) -> tuple[int, int] | None:
    """Height and width that the graph's input is declared with; None where it is free, or evidently not meant.

    Raises:
        MissingModelError: the input is no picture with its channels first, or larger than any picture it could want.
    """
    shape = graph.shapes.get(graph.inputs[0], ()) if graph.inputs else ()
    if not shape:
        return None
    if len(shape) != 4 or shape[1] not in (3, None):
        raise MissingModelError(
            f"the ONNX model takes {list(shape)}, expected pictures of [N, 3, height, width]",
            hint="export it with its channels first",
        )
    height, width = shape[2], shape[3]
    if height is None or width is None or min(height, width) < _LEAST_DECLARED:
        return None
    if max(height, width) > _MOST_DECLARED:
        raise MissingModelError(f"the ONNX model takes pictures of {height} x {width}, which is too much")
    return height, width


def grid(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """``(rows * columns, 2)`` x and y of the cells of a map, in cells."""
    y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2).to(like)


def rows_of(values: Tensor, width: int, rows: int | None = None) -> Tensor:
    """An output for one picture as ``(B, rows, width)``, whether it is a map ``(B, A * width, H, W)``, rows of one
    picture ``(rows, width)``, or rows already.

    Raises:
        MissingModelError: it cannot be that.
    """
    shape = list(values.shape)
    if values.ndim == 4 and shape[1] % width == 0:
        values = values.permute(0, 2, 3, 1).reshape(shape[0], -1, width)
    elif values.ndim == 2:
        values = values.reshape(1, -1, width) if shape[1] == width else values[..., None]
    if values.ndim == 2 or values.shape[-1] != width or (rows is not None and values.shape[1] != rows):
        expected = f"{rows or 'some'} rows of {width}"
        raise MissingModelError(f"an output of the ONNX model is {shape}, expected {expected}")
    return values


def _forms(written: Sequence[Tensor], opened: Sequence[Tensor]) -> tuple[str, ...]:
    """Is each output of scores a logit or a probability, once the last activations are taken out of the graph?

    Args:
        written: the outputs as the file has them.
        opened: the same without the activations.
    """
    same = [torch.allclose(a, b) for a, b in zip(written, opened, strict=True)]
    # what is no probability for one stride is none for the others, whatever its values happen to be
    left = all(_probable(one) for one, is_same in zip(written, same, strict=True) if is_same)
    return tuple("probability" if is_same and left else "logit" for is_same in same)


def _probable(scores: Tensor) -> bool:
    """Can these be probabilities: in [0, 1], and where there are two, with a sum of 1?"""
    inside = bool((scores >= 0).all()) and bool((scores <= 1).all())
    return inside and (scores.shape[-1] != 2 or torch.allclose(scores.sum(-1), torch.ones(()), atol=1e-2))


def _without_margin(values: Tensor, height: int, width: int) -> tuple[Tensor, int, int]:
    """A square picture without the black at its lower or right side that fills it up, where it fits the size then."""
    rows, columns = values.shape[-2:]
    if height < rows and not bool(values[..., height:, :].any()):
        values = values[..., :height, :]
    if width < columns and not bool(values[..., width:].any()):
        values = values[..., :width]
    return values, values.shape[-2], values.shape[-1]
