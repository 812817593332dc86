"""Training faces, kept on the device as bytes; batches are drawn from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from provenance.errors import NoFaceError, UsageError
from synth.extraction.faceset import FEWEST_FACES
from synth.swap.config import Augmentation
from synth.swap.training.augment import Batch, augmented, encoder_input

_AT_ONCE = 256


class FaceData(Protocol):
    """The protocol of a set of faces; :class:`synth.extraction.FaceSet` is one."""

    @property
    def consent(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def pixels(self) -> NDArray[np.uint8]: ...
    def masks(self) -> NDArray[np.uint8]: ...
    def details(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Bank:
    """Faces of one person, or for a face prior of several, on the device.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8 RGB.
        masks, details: ``(N, S, S)`` uint8, of :func:`synth.extraction.canonical.face_mask` and ``detail_mask``.
        counts: number of faces of each person, one person after the other; empty where all are of one.
    """

    pixels: Tensor
    masks: Tensor
    details: Tensor
    counts: tuple[int, ...] = field(default=(), kw_only=True)

    @classmethod
    def of(cls, faces: FaceData, size: int, device: Any) -> Bank:
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
            *(torch.cat([getattr(one, name) for one in banks]) for name in ("pixels", "masks", "details")),
            counts=tuple(count for one in banks for count in one.counts or (len(one),)),
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def digest(self) -> str:
        """SHA-256 of all faces in their order, hexadecimal."""
        said = sha256(repr(tuple(self.pixels.shape)).encode())
        for start in range(0, len(self), _AT_ONCE):
            for one in (self.pixels, self.masks, self.details):
                said.update(one[start : start + _AT_ONCE].cpu().contiguous().numpy().tobytes())
        return said.hexdigest()

    def split(self, held_out: float, whose: str = "one person") -> tuple[Bank, Bank]:
        """Split into training faces, and held-out faces: the last ones in time of each person.

        Args:
            held_out: 0 to 0.9; above 0 it is at least one face of everybody who has two.
            whose: what the message calls them.

        Raises:
            NoFaceError: too few faces.
        """
        kept: list[slice] = []
        last: list[slice] = []
        start = 0
        for count in self.counts or (len(self),):
            cut = start + count - max(round(count * held_out), int(held_out > 0 and count > 1))
            kept.append(slice(start, cut))
            start += count
            last.append(slice(cut, start))
        learned, rest = self._part(kept), self._part(last)
        if len(learned) < FEWEST_FACES:
            raise NoFaceError(
                f"found {len(self)} faces of {whose}, of which {len(learned)} are to train on; "
                f"expected at least {FEWEST_FACES} (some hundred give a good result)",
                hint="extract faces from more footage, or with looser thresholds",
            )
        return learned, rest

    def _part(self, which: list[slice]) -> Bank:
        def taken(rows: Tensor) -> Tensor:
            # a single part stays a view, so that faces are in memory once
            return rows[which[0]] if len(which) == 1 else torch.cat([rows[one] for one in which])

        return Bank(taken(self.pixels), taken(self.masks), taken(self.details))

    def pictures(self, which: Tensor | slice = slice(None)) -> Tensor:
        """``(N, 3, S, S)`` in [0, 1], channels last in memory."""
        return self.pixels[which].permute(0, 3, 1, 2).float() / 255

    def plain(self, which: Tensor | slice = slice(None)) -> Batch:
        """Faces without augmentation."""
        pictures = self.pictures(which)
        mask, details = ((one[which][:, None].float() / 255) for one in (self.masks, self.details))
        return Batch(encoder_input(pictures, mask, details), pictures, mask, details)

    def draw(self, count: int, how: Augmentation, draws: torch.Generator) -> Batch:
        """``count`` random faces, augmented."""
        which = torch.randint(len(self), (count,), generator=draws, device=self.pixels.device)
        plain = self.plain(which)
        return augmented(plain.wanted, plain.mask, plain.details, how, draws)
