"""Face detectors with seeded weights in the layouts in which real ones are published, as torch modules and ONNX files.

The architectures are the published ones at reduced widths; nothing in them has learned to see a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.onnx_export import choosing as choosing
from tests.support.onnx_export import decided as decided
from tests.support.onnx_export import exported as exported
from tests.support.onnx_export import halved as halved
from tests.support.onnx_export import seeded as seeded
from tests.support.onnx_export import weights_as_nodes as weights_as_nodes
from tests.support.onnx_export import with_opset as with_opset

STRIDES = (8, 16, 32)


def conv_bn(inside: int, outside: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())


class ScrfdLike(nn.Module):
    """SCRFD's shape: a stem, four stages, PAFPN, heads shared by the strides with a scale of their own, and outputs
    ``(cells * 2, width)`` without a dimension for the picture, as insightface exports them.
    """

    def __init__(self, width: int = 8, *, landmarks: bool = True, batched: bool = False) -> None:
        super().__init__()
        self.landmarks, self.batched = landmarks, batched
        self.stem = nn.Sequential(conv_bn(3, width, 2), conv_bn(width, width), nn.MaxPool2d(2, 2))
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn(a, b, 2), conv_bn(b, b))
            for a, b in ((width, width), (width, 2 * width), (2 * width, 2 * width))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(a, width, 1) for a in (width, 2 * width, 2 * width))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in STRIDES)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in STRIDES[1:])
        self.tower = conv_bn(width, width)
        self.score = nn.Conv2d(width, 2, 3, padding=1)
        self.box = nn.Conv2d(width, 8, 3, padding=1)
        self.points = nn.Conv2d(width, 20, 3, padding=1)
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(one)) for one in (1.1, 0.9, 1.3))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels, x = [], self.stem(x)
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        for at in (1, 0):
            levels[at] = levels[at] + functional.interpolate(
                levels[at + 1], size=levels[at].shape[2:], mode="nearest"
            )
        levels = [smooth(one) for smooth, one in zip(self.smooth, levels, strict=True)]
        for at in (0, 1):
            levels[at + 1] = levels[at + 1] + self.down[at](levels[at])
        features = [self.tower(one) for one in levels]
        heads = [[self.score(one).sigmoid() for one in features]]
        heads.append(
            [(self.box(one) * scale).exp() for one, scale in zip(features, self.scales, strict=True)]
        )
        if self.landmarks:
            heads.append([self.points(one) for one in features])
        shape = (lambda w: (1, -1, w)) if self.batched else (lambda w: (-1, w))
        return [
            one.permute(0, 2, 3, 1).reshape(shape(width))
            for maps, width in zip(heads, (1, 4, 10), strict=False)
            for one in maps
        ]


def scrfd_file(model: ScrfdLike, size: tuple[int, int] = (640, 640), **choices: Any) -> bytes:
    """As insightface exports it: outputs in order, their names mere numbers."""
    count = 9 if model.landmarks else 6
    data = exported(model, size, [f"output{number}" for number in range(count)], **choices)
    graph = onnx.load_from_string(data)
    for number, output in enumerate(graph.graph.output):
        for node in graph.graph.node:
            for at, name in enumerate(node.output):
                if name == output.name:
                    node.output[at] = str(440 + (23 * number) % 97)
        output.name = str(440 + (23 * number) % 97)
    return bytes(graph.SerializeToString())


class Silu(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.bn(self.conv(x)))


class Split(nn.Module):
    """C2f: a convolution, its halves, bottlenecks on the last, all joined."""

    def __init__(self, inside: int, outside: int, count: int = 1, add: bool = False) -> None:
        super().__init__()
        self.half, self.add = outside // 2, add
        self.first, self.last = Silu(inside, outside, 1), Silu((2 + count) * self.half, outside, 1)
        self.middle = nn.ModuleList(
            nn.Sequential(Silu(self.half, self.half), Silu(self.half, self.half)) for _ in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for block in self.middle:
            parts.append(parts[-1] + block(parts[-1]) if self.add else block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Pooled(nn.Module):
    """SPPF: the largest of 5 x 5, three times."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = Silu(channels, channels // 2, 1), Silu(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class YoloLike(nn.Module):
    """YOLOv8's shape with the head for poses: C2f, SPPF, PAN, distances by DFL.

    Args:
        form: ``decoded`` (one output as Ultralytics exports it), ``maps`` (one for each stride), or ``parts`` (three
            for each stride).
        landmarks: five of three values each, or none.
    """

    def __init__(self, width: int = 8, *, form: str = "decoded", landmarks: bool = True) -> None:
        super().__init__()
        w, self.form, self.landmarks = width, form, landmarks
        self.down = nn.ModuleList(
            [
                nn.Sequential(Silu(3, w, 3, 2), Silu(w, w, 3, 2), Split(w, w, 1, True), Silu(w, 2 * w, 3, 2)),
                nn.Sequential(Split(2 * w, 2 * w, 1, True)),
                nn.Sequential(Silu(2 * w, 4 * w, 3, 2), Split(4 * w, 4 * w, 1, True)),
                nn.Sequential(Silu(4 * w, 4 * w, 3, 2), Split(4 * w, 4 * w, 1, True), Pooled(4 * w)),
            ]
        )
        self.up = nn.ModuleList([Split(8 * w, 4 * w), Split(6 * w, 2 * w)])
        self.back = nn.ModuleList([Silu(2 * w, 2 * w, 3, 2), Silu(4 * w, 4 * w, 3, 2)])
        self.join = nn.ModuleList([Split(6 * w, 4 * w), Split(8 * w, 4 * w)])
        channels = (2 * w, 4 * w, 4 * w)
        self.box = nn.ModuleList(nn.Sequential(Silu(c, 16), nn.Conv2d(16, 64, 1)) for c in channels)
        self.score = nn.ModuleList(nn.Sequential(Silu(c, 16), nn.Conv2d(16, 1, 1)) for c in channels)
        self.points = nn.ModuleList(nn.Sequential(Silu(c, 16), nn.Conv2d(16, 15, 1)) for c in channels)
        self.dfl = nn.Conv2d(16, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Any:
        first = self.down[1](self.down[0](x))
        second = self.down[2](first)
        third = self.down[3](second)
        grown = functional.interpolate(third, scale_factor=2.0, mode="nearest")
        middle = self.up[0](torch.cat([grown, second], 1))
        grown = functional.interpolate(middle, scale_factor=2.0, mode="nearest")
        fine = self.up[1](torch.cat([grown, first], 1))
        middle = self.join[0](torch.cat([self.back[0](fine), middle], 1))
        coarse = self.join[1](torch.cat([self.back[1](middle), third], 1))
        levels = [fine, middle, coarse]
        boxes = [head(one) for head, one in zip(self.box, levels, strict=True)]
        scores = [head(one) for head, one in zip(self.score, levels, strict=True)]
        points = [head(one) for head, one in zip(self.points, levels, strict=True)] if self.landmarks else []
        if self.form == "maps":
            return [
                torch.cat(parts, 1)
                for parts in zip(boxes, scores, *([points] if points else []), strict=True)
            ]
        if self.form == "parts":
            return [
                one
                for parts in zip(boxes, scores, *([points] if points else []), strict=True)
                for one in parts
            ]
        return self._decoded(boxes, scores, points)

    def _decoded(self, boxes: list[Tensor], scores: list[Tensor], points: list[Tensor]) -> Tensor:
        anchors, strides = [], []
        for one, stride in zip(boxes, STRIDES, strict=True):
            rows, columns = one.shape[2:]
            y, x = torch.meshgrid(
                torch.arange(rows, dtype=one.dtype) + 0.5,
                torch.arange(columns, dtype=one.dtype) + 0.5,
                indexing="ij",
            )
            anchors.append(torch.stack((x, y), -1).view(-1, 2))
            strides.append(torch.full((rows * columns, 1), float(stride)))
        place, step = torch.cat(anchors).transpose(0, 1), torch.cat(strides).transpose(0, 1)
        batch = boxes[0].shape[0]
        both = [torch.cat(pair, 1).view(batch, 65, -1) for pair in zip(boxes, scores, strict=True)]
        box, score = torch.cat(both, 2).split((64, 1), 1)
        share = box.view(batch, 4, 16, box.shape[2]).transpose(2, 1).softmax(1)
        near, far = self.dfl(share).view(batch, 4, box.shape[2]).chunk(2, 1)
        low, high = place.unsqueeze(0) - near, place.unsqueeze(0) + far
        decoded = torch.cat(((low + high) / 2, high - low), 1) * step
        result = torch.cat((decoded, score.sigmoid()), 1)
        if not points:
            return result
        flat = torch.cat([one.view(batch, 15, -1) for one in points], -1).view(batch, 5, 3, -1)
        spot = (flat[:, :, :2] * 2.0 + (place - 0.5)) * step
        full = torch.cat((spot, flat[:, :, 2:3].sigmoid()), 2).view(batch, 15, -1)
        return torch.cat([result, full], 1)


def yolo(width: int = 8, *, seed: int = 3, **choices: Any) -> YoloLike:
    """Seeded; the DFL's weights are the whole numbers they always are."""
    made = YoloLike(width, **choices)
    seeded(made, seed)
    decided([made.score])
    made.dfl.weight.data = torch.arange(16.0).reshape(1, 16, 1, 1)
    return made


class RetinaLike(nn.Module):
    """RetinaFace's shape: three levels, or four (slim, RFB), one set of heads each, outputs joined along the anchors.

    Args:
        counts: anchors in a cell of each level.
        fixed: reshape to numbers of rows that were true for one size of picture, as exports without free sides do.
    """

    def __init__(self, counts: Sequence[int] = (2, 2, 2), width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, width, 2), conv_bn(width, width, 2))
        self.levels = nn.ModuleList(conv_bn(width, width, 2) for _ in counts)
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, count * wide, 1) for count in counts) for wide in (4, 2, 10)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features, x = [], self.stem(x)
        for level in self.levels:
            x = level(x)
            features.append(x)
        outputs = [
            torch.cat(
                [
                    head(one).permute(0, 2, 3, 1).contiguous().view(one.shape[0], -1, wide)
                    for head, one in zip(heads, features, strict=True)
                ],
                1,
            )
            for heads, wide in zip(self.heads, (4, 2, 10), strict=True)
        ]
        return outputs[0], functional.softmax(outputs[1], -1), outputs[2]


ULTRA_BOXES = ((10.0, 16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0, 256.0))


class UltraLike(RetinaLike):
    """Ultra-Light's shape: scores, and boxes decoded in the graph from anchors that lie in it, for one size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__((3, 2, 2, 3))
        rows = []
        for stride, sides in zip((8, 16, 32, 64), ULTRA_BOXES, strict=True):
            for y in range(-(-height // stride)):
                for x in range(-(-width // stride)):
                    rows += [
                        ((x + 0.5) * stride / width, (y + 0.5) * stride / height, side / width, side / height)
                        for side in sides
                    ]
        self.register_buffer("priors", torch.tensor(rows).clamp(0, 1)[None])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        corrections, scores, _ = super().forward(x)
        middle = corrections[..., :2] * 0.1 * self.priors[..., 2:] + self.priors[..., :2]
        size = torch.exp(corrections[..., 2:] * 0.2) * self.priors[..., 2:]
        return scores, torch.cat([middle - size / 2, middle + size / 2], 2)


class YunetLike(nn.Module):
    """YuNet's shape: depthwise units, three levels of one pyramid, and twelve outputs ``(1, cells, width)``."""

    def __init__(self, width: int = 8, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.stem = nn.Sequential(
            conv_bn(3, width, 2), nn.MaxPool2d(2), conv_bn(width, width), nn.MaxPool2d(2)
        )
        self.next = nn.ModuleList(nn.Sequential(conv_bn(width, width), nn.MaxPool2d(2)) for _ in range(2))
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, wide, 1) for _ in STRIDES) for wide in (1, 1, 4, 10)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [self.stem(x)]
        for block in self.next:
            levels.append(block(levels[-1]))
        outputs = []
        for heads, wide in zip(self.heads, (1, 1, 4, 10), strict=True):
            for head, level in zip(heads, levels, strict=True):
                cells = int(level.shape[2]) * int(level.shape[3]) if self.fixed else -1
                one = head(level).permute(0, 2, 3, 1).reshape(1, cells, wide)
                outputs.append(one.sigmoid() if wide == 1 else one)
        return outputs


YUNET_NAMES = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]


class CentreLike(nn.Module):
    """CenterFace's shape: one map of a quarter of the sides; heat, scale, offset, landmarks."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(conv_bn(3, width, 2), conv_bn(width, width, 2), conv_bn(width, width, 2))
        self.up = nn.ConvTranspose2d(width, width, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.heads = nn.ModuleList(nn.Conv2d(width, wide, 1) for wide in (1, 2, 2, 10))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu(self.norm(self.up(self.down(x))))
        heat, *others = [head(x) for head in self.heads]
        return [heat.sigmoid(), *others]
