"""The generator: an encoder that both people share, and for each a decoder of colours and of a mask.

The architecture is the one of the first face swappers (an autoencoder with one encoder and two decoders; up-sampling by
sub-pixel convolution, Shi et al., CVPR 2016): because the encoder has to serve both decoders, what it writes into the
bottleneck is what faces have in common (pose, expression, light), and each decoder knows how one person looks then.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.swap.config import Architecture

_SLOPE = 0.1
#: Channels that the encoder sees: three colours, and where eyes and mouth are open.
_SEEN = 4
Network = TypeVar("Network", bound=nn.Module)


def _activated(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _initialised(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """Two convolutions beside the identity; it begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _initialised(self.first)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return _activated(x + self.second(_activated(self.first(x))))


class Upsample(nn.Module):
    """Twice the side: a convolution to four times the channels, which are then spread out (sub-pixel convolution).

    The four start with equal weights, so that no checkerboard is there at the beginning (Aitken et al., 2017).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 4 * after, 3, padding=1)
        one = torch.empty(after, before, 3, 3)
        nn.init.kaiming_normal_(one, a=_SLOPE)
        with torch.no_grad():
            self.conv.weight.copy_(one.repeat_interleave(4, dim=0))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return _activated(functional.pixel_shuffle(self.conv(x), 2))


class Encoder(nn.Module):
    """What :func:`synth.swap.training.augment.encoder_input` gives, ``(N, 4, S, S)`` in [0, 1], to
    ``(N, 8 W, S / 8 ... 8, ...)``: halvings down to 4 to 7 pixels, the dense bottleneck, and one doubling.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        side, before, convs = shape.size, _SEEN, []
        while side >= 8:
            after = shape.width * min(8, shape.size // side)
            convs.append(nn.Conv2d(before, after, 5, stride=2, padding=2))
            side, before = side // 2, after
        self.convs = nn.ModuleList(convs)
        self.side, self.channels = side, before
        self.inward = nn.Linear(before * side * side, shape.code)
        self.outward = nn.Linear(shape.code, before * side * side)
        layers: list[nn.Conv2d | nn.Linear] = [*convs, self.inward, self.outward]
        for layer in layers:
            _initialised(layer)
        self.doubled = Upsample(before, before)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures * 2 - 1
        for conv in self.convs:
            x = _activated(conv(x))
        code = self.inward(x.flatten(1))
        x = _activated(self.outward(code)).view(-1, self.channels, self.side, self.side)
        if pictures.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        doubled: Tensor = self.doubled(x)
        return doubled


class Decoder(nn.Module):
    """What the encoder gives to colours ``(N, 3, S, S)`` and a mask ``(N, 1, S, S)``, both in [0, 1]."""

    def __init__(self, shape: Architecture, side: int, channels: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        while side < shape.size:
            after = shape.width * min(8, shape.size // (2 * side))
            steps.append(Upsample(channels, after))
            steps.extend(Residual(after) for _ in range(shape.residuals))
            side, channels = side * 2, after
        self.steps = nn.Sequential(*steps)
        self.heads = nn.Conv2d(channels, 4, 3, padding=1)  # three colours, and the mask
        _initialised(self.heads)

    def forward(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.sigmoid(self.heads(self.steps(shared)))
        return both[:, :3], both[:, 3:]


class Generator(nn.Module):
    """Encoder and decoders. ``sides`` names the people: "a" and "b", or "a" alone for a face prior.

    Args:
        shape: sizes.
        sides: names of decoders.
    """

    def __init__(self, shape: Architecture, sides: tuple[str, ...] = ("a", "b")) -> None:
        super().__init__()
        self.shape, self.sides = shape, sides
        self.encoder = Encoder(shape)
        self.decoders = nn.ModuleDict(
            {side: Decoder(shape, self.encoder.side * 2, self.encoder.channels) for side in sides}
        )

    def forward(self, pictures: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Each side's pictures ``(N, 4, S, S)`` through its own decoder; the encoder sees all of them at once."""
        shared = self.encoder(torch.cat([pictures[side] for side in pictures]))
        parts = shared.split([len(batch) for batch in pictures.values()])
        return {side: self.decoders[side](part) for side, part in zip(pictures, parts, strict=True)}

    def as_person(self, pictures: Tensor, side: str) -> tuple[Tensor, Tensor]:
        """Colours and mask of ``side``'s decoder, whoever is in the pictures."""
        colours, mask = self.decoders[side](self.encoder(pictures))
        return colours, mask


def on_device(module: Network, device: Any) -> Network:
    """On the device, in the order of memory in which convolutions are fastest there."""
    moved: Network = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
