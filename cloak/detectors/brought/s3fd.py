"""S3FD (Zhang et al., 2017, "S3FD: Single Shot Scale-invariant Face Detector"), with which face-alignment, Wav2Lip,
MuseTalk, faceswap and DeepFaceLab find faces, by a ``.pth`` in the layout that SFD_pytorch published.

Input as in face-alignment: blue, green, red minus (104, 117, 123), not resized. Six maps with strides of 4 to 128 and
one anchor of four strides in each cell; boxes are corrections with variances 0.1 and 0.2. Of the finest map's three
scores for "no face" the largest counts.
"""

from __future__ import annotations

import io
import pickle

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak.detectors.priors import PriorDetector, decode_boxes
from provenance.errors import MissingModelError

_LEAST_SIDE = 32
#: VGG-16's blocks: how many convolutions, and their channels.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
#: The maps that tell faces, finest first: name, channels.
_MAPS = (
    ("conv3_3_norm", 256),
    ("conv4_3_norm", 512),
    ("conv5_3_norm", 512),
    ("fc7", 1024),
    ("conv6_2", 512),
    ("conv7_2", 256),
)
#: Box sides beyond e to this many times the anchor's are no face's.
_MOST_GROWTH = 4.0


class _Scaled(nn.Module):
    """Each place's values divided by their length and multiplied by a weight of the channel (Liu et al., ParseNet)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        length = (x.square().sum(1, keepdim=True) + 1e-20).sqrt()
        return x / length * self.weight.reshape(1, -1, 1, 1)


class S3fdNet(nn.Module):
    """The network, its layers under the names of the weights file."""

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for block, (count, channels) in enumerate(_BLOCKS, start=1):
            for number in range(1, count + 1):
                self.add_module(f"conv{block}_{number}", nn.Conv2d(before, channels, 3, padding=1))
                before = channels
        self.fc6, self.fc7 = nn.Conv2d(512, 1024, 3, padding=3), nn.Conv2d(1024, 1024, 1)
        self.conv6_1, self.conv6_2 = nn.Conv2d(1024, 256, 1), nn.Conv2d(256, 512, 3, 2, 1)
        self.conv7_1, self.conv7_2 = nn.Conv2d(512, 128, 1), nn.Conv2d(128, 256, 3, 2, 1)
        for name, channels in _MAPS:
            if name.endswith("norm"):
                self.add_module(name, _Scaled(channels))
            scores = 4 if name == "conv3_3_norm" else 2
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels, scores, 3, padding=1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each map, finest first: logits of a face ``(B, h, w)`` and box corrections ``(B, h, w, 4)``."""
        levels = []
        for block, (count, _) in enumerate(_BLOCKS, start=1):
            for number in range(1, count + 1):
                x = functional.relu(self.get_submodule(f"conv{block}_{number}")(x))
            if block >= 3:
                levels.append(self.get_submodule(f"conv{block}_3_norm")(x))
            x = functional.max_pool2d(x, 2, 2)
        x = functional.relu(self.fc7(functional.relu(self.fc6(x))))
        levels.append(x)
        for block in (6, 7):
            x = functional.relu(self.get_submodule(f"conv{block}_1")(x))
            x = functional.relu(self.get_submodule(f"conv{block}_2")(x))
            levels.append(x)
        result = []
        for (name, _), level in zip(_MAPS, levels, strict=True):
            scores = self.get_submodule(f"{name}_mbox_conf")(level)
            box = self.get_submodule(f"{name}_mbox_loc")(level)
            result.append((scores[:, -1] - scores[:, :-1].amax(1), box.permute(0, 2, 3, 1)))
        return result


class S3fd(PriorDetector):
    """``threshold`` is the least probability of a face, 0.5 in face-alignment. No landmarks."""

    name = "s3fd"
    family = "s3fd"

    def __init__(self, state: dict[str, Tensor], *, threshold: float = 0.5) -> None:
        network = S3fdNet()
        try:
            plain = {name.removeprefix("module."): value for name, value in state.items()}
            network.load_state_dict(plain)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise MissingModelError(f"the weights are not those of S3FD: {str(error)[:200]}") from error
        super().__init__(network, threshold)

    @classmethod
    def from_bytes(cls, data: bytes) -> S3fd:
        """From a ``.pth`` file of named tensors; nothing else in it is read.

        Raises:
            MissingModelError: it is no such file, or of another network.
        """
        try:
            state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError) as error:
            raise MissingModelError(
                f"cannot read the weights of S3FD: {str(error).splitlines()[0][:150] if str(error) else error!r}",
                hint="bring a file of named tensors, as torch.save(model.state_dict(), FILE) writes it",
            ) from error
        if not isinstance(state, dict):
            raise MissingModelError("the weights of S3FD hold no named tensors")
        return cls(state)

    def _everywhere(self, values: Tensor, *, exact: bool) -> tuple[Tensor, Tensor, None]:
        pictures = self._input(values)
        short = [max(0, _LEAST_SIDE - side) for side in values.shape[-2:]]
        pictures = functional.pad(pictures, (0, short[1], 0, short[0]))
        logits, boxes = [], []
        for level, (face, box) in enumerate(
            self.network(pictures.contiguous(memory_format=torch.channels_last))
        ):
            stride = 4 << level
            y, x = (torch.arange(side, device=values.device, dtype=values.dtype) for side in face.shape[1:])
            grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
            found = decode_boxes(box, (grid + 0.5) * stride, 4.0 * stride, most_growth=_MOST_GROWTH)
            boxes.append(found.flatten(1, 2))
            logits.append(face.flatten(1))
        return torch.cat(logits, 1), torch.cat(boxes, 1), None
