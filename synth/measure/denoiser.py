"""A small learned denoiser: an attacker who teaches a network to take veils and noise off before looking for faces.

It learned from public-domain pictures under veils with random parameters, and under noise, beside the clean pictures;
it never saw a veil that was searched for. ``benchmarks/synth/denoiser.py`` trains it. The network predicts what to take
off (residual learning: Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Pixels = NDArray[np.uint8]
WEIGHTS = Path(__file__).parent / "weights" / "denoiser.safetensors"
#: Rows of the picture that are worked on at once, and what the network sees around a pixel.
_ROWS, _REACH = 256, 24


class Denoiser(nn.Module):
    """Convolutions at half of the picture's size, and one step back; ``(N, 3, H, W)`` in [0, 1], even sides."""

    def __init__(self, width: int = 32, depth: int = 5) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(12, width, 3, padding=1, padding_mode="replicate"), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"), nn.ReLU()]
        layers.append(nn.Conv2d(width, 12, 3, padding=1, padding_mode="replicate"))
        self.layers = nn.Sequential(*layers)
        self.down, self.up = nn.PixelUnshuffle(2), nn.PixelShuffle(2)

    def forward(self, pictures: Tensor) -> Tensor:
        change: Tensor = self.up(self.layers(self.down(pictures) - 0.5))
        return pictures - change

    @classmethod
    @lru_cache(maxsize=1)
    def shipped(cls) -> Denoiser:
        """With the weights of the package, frozen."""
        made = cls()
        made.load_state_dict(load_file(WEIGHTS))
        return made.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Write the weights, in half precision."""
        save_file({name: one.half().contiguous() for name, one in self.state_dict().items()}, path)

    @torch.no_grad()
    def clean(self, pixels: Pixels) -> Pixels:
        """A picture uint8 ``(H, W, 3)`` without what the network takes for a veil."""
        height, width = pixels.shape[:2]
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = torch.from_numpy(even).permute(2, 0, 1)[None].float() / 255
        made = []
        for top in range(0, picture.shape[2], _ROWS):
            first, last = max(0, top - _REACH), min(picture.shape[2], top + _ROWS + _REACH)
            part = self(picture[:, :, first:last])
            made.append(part[:, :, top - first : top - first + min(_ROWS, picture.shape[2] - top)])
        whole = torch.cat(made, 2)[0].clamp(0, 1).permute(1, 2, 0)
        return np.ascontiguousarray((whole * 255).round().byte().numpy()[:height, :width])
