"""Faces for training: on the device once, as bytes, and drawn from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from provenance.errors import NoFaceError, UsageError
from synth.swap.augment import Batch, augmented, shown
from synth.swap.config import Augmentation

FEWEST_FACES = 16


class Faces(Protocol):
    """What is asked of a set of faces; :class:`synth.extraction.FaceSet` is one."""

    @property
    def consent(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def pixels(self) -> NDArray[np.uint8]: ...
    def masks(self) -> NDArray[np.uint8]: ...
    def details(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Bank:
    """Faces of one person on the device.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8 RGB.
        masks, details: ``(N, S, S)`` uint8, of :func:`synth.extraction.canonical.face_mask` and ``detail_mask``.
    """

    pixels: Tensor
    masks: Tensor
    details: Tensor

    @classmethod
    def of(cls, faces: Faces, size: int, device: Any) -> Bank:
        """Put a set of faces onto the device.

        Raises:
            UsageError: pictures of another side than ``size``.
        """
        pixels, masks, details = faces.pixels(), faces.masks(), faces.details()
        if pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise UsageError(f"found faces of shape {pixels.shape[1:]}, expected {(size, size, 3)} uint8")
        return cls(
            *(torch.from_numpy(np.ascontiguousarray(one)).to(device) for one in (pixels, masks, details))
        )

    @classmethod
    def joined(cls, banks: Sequence[Bank]) -> Bank:
        """Several people's faces as one, for a face prior."""
        return cls(
            *(torch.cat([getattr(one, name) for one in banks]) for name in ("pixels", "masks", "details"))
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def split(self, held_out: float) -> tuple[Bank, Bank]:
        """To train on, and the last share in time, which is held out.

        Raises:
            NoFaceError: too few faces.
        """
        last = round(len(self) * held_out)
        last = max(1, last) if held_out > 0 else 0
        if len(self) - last < FEWEST_FACES:
            raise NoFaceError(
                f"found {len(self)} faces of one person, of which {max(0, len(self) - last)} are to train on; "
                f"expected at least {FEWEST_FACES} (some hundred give a good result)",
                hint="extract faces from more footage, or with looser thresholds",
            )
        cut = len(self) - last
        return self._part(slice(0, cut)), self._part(slice(cut, None))

    def _part(self, which: slice) -> Bank:
        return Bank(self.pixels[which], self.masks[which], self.details[which])

    def pictures(self, which: Tensor | slice = slice(None)) -> Tensor:
        """``(N, 3, S, S)`` in [0, 1], channels last in memory."""
        return self.pixels[which].permute(0, 3, 1, 2).float() / 255

    def plain(self, which: Tensor | slice = slice(None)) -> Batch:
        """Faces as they are; what the encoder sees is not distorted."""
        pictures = self.pictures(which)
        mask, details = ((one[which][:, None].float() / 255) for one in (self.masks, self.details))
        return Batch(shown(pictures, mask, details), pictures, mask, details)

    def draw(self, count: int, how: Augmentation, draws: torch.Generator) -> Batch:
        """``count`` faces at random, changed at random."""
        which = torch.randint(len(self), (count,), generator=draws, device=self.pixels.device)
        plain = self.plain(which)
        return augmented(plain.wanted, plain.mask, plain.details, how, draws)
