"""The critic: a patch discriminator, photograph or generated.

Patches: Isola et al., CVPR 2017. Spectral normalization of every layer: Miyato et al., ICLR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

from synth.swap.config import Architecture

# Spectrally normalised layers attenuate fine detail. So the detail is an amplified input of its own, and the output is
# amplified too. Both factors are constants, so the critic stays Lipschitz-bounded.
_DETAIL_GAIN, _VERDICT_GAIN = 8.0, 8.0


class Critic(nn.Module):
    """One network for all sides, with one output map for each."""

    def __init__(self, shape: Architecture, sides: tuple[str, ...] = ("a", "b")) -> None:
        super().__init__()
        self.sides = sides
        width, halvings = shape.critic_width, 3 if shape.size >= 128 else 2
        layers, before = [], 6
        for level in range(halvings):
            after = width * min(4, 2**level)
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            before = after
        layers.append(nn.Conv2d(before, before * 2, 3, padding=1))
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in layers)
        self.verdict = spectral_norm(nn.Conv2d(before * 2, len(sides), 3, padding=1))

    def forward(self, pictures: Tensor, side: str) -> tuple[Tensor, list[Tensor]]:
        """Pictures ``(N, 3, S, S)`` in [0, 1] to logits ``(N, h, w)``, positive for photographs, and the features of
        each layer.
        """
        detail = _DETAIL_GAIN * (pictures - avg_pool2d(pictures, 3, 1, 1, count_include_pad=False))
        x, features = torch.cat([pictures * 2 - 1, detail], 1), []
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
            features.append(x)
        return _VERDICT_GAIN * self.verdict(x)[:, self.sides.index(side)], features


def critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss (Lim and Ye, 2017): photographs should be above 1, generated pictures below -1."""
    return relu(1 - real).mean() + relu(1 + made).mean()


def accuracy(real: Tensor, made: Tensor) -> Tensor:
    """Share of pictures on which the critic is right, by the mean over its patches; 0 to 1."""
    right = (real.flatten(1).mean(1) > 0).float().mean() + (made.flatten(1).mean(1) < 0).float().mean()
    return right / 2
