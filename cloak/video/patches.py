"""The patch of a window: its place, its pixels and its noise in each frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from cloak.video.flow import FlowTracker, moved
from cloak.video.tracks import Track

#: A face is worked on at no more pixels than this, where nothing else is said.
FACE_SIDE = 208
#: Margin of the patch around the face, in face sizes.
_MARGIN = 0.5


@dataclass(frozen=True)
class PatchGeometry:
    """The patch of one window: as large in every frame, its middle moves with the face.

    Attributes:
        width, height: in pixels of the frame.
        work: height and width it is worked on.
    """

    width: int
    height: int
    work: tuple[int, int]

    @classmethod
    def of(cls, track: Track, first: int, last: int, face_side: int = FACE_SIDE) -> PatchGeometry:
        """For the face's largest size between two frames, which is worked on at no more than ``face_side`` pixels."""
        width, height = (max(8.0, side) for side in track.side(first, last))
        scale = min(1.0, face_side / max(width, height))
        spread = 1 + 2 * _MARGIN
        work = (max(16, round(height * spread * scale)), max(16, round(width * spread * scale)))
        return cls(max(16, round(width * spread)), max(16, round(height * spread)), work)

    @property
    def face(self) -> Tensor:
        """``(1, 4)`` where the face is, in working pixels."""
        height, width = self.work
        share = _MARGIN / (1 + 2 * _MARGIN)
        return torch.tensor(
            [[width * share, height * share, width * (1 - share), height * (1 - share)]],
            dtype=torch.float32,
        )

    def face_in(self, corner: tuple[int, int]) -> np.ndarray:
        """``(4,)`` where the face is in a frame in which the patch has that corner."""
        share = self.width / self.work[1]
        return np.asarray(self.face[0].numpy() * share + np.tile(corner, 2))

    def corner(self, track: Track, frame: int) -> tuple[int, int]:
        """Left and top in pixels of the frame; may lie outside."""
        x1, y1, x2, y2 = track.box(frame)
        return round((x1 + x2 - self.width) / 2), round((y1 + y2 - self.height) / 2)

    def cut(self, pixels: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        """uint8 ``(h, w, 3)`` of the working size; beyond the frame its border is repeated."""
        part = _part(pixels, corner, (self.width, self.height))
        if part.shape[:2] == self.work:
            return part
        return np.asarray(
            cv2.resize(part, (self.work[1], self.work[0]), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )

    def spread(self, noise: np.ndarray) -> np.ndarray:
        """float32 noise of the working size as noise of the patch's size in the frame."""
        if noise.shape[:2] == (self.height, self.width):
            return noise
        return np.asarray(cv2.resize(noise, (self.width, self.height), interpolation=cv2.INTER_LINEAR))

    def recut(self, other: MovingNoise, track: Track, frame: int) -> np.ndarray:
        """Another window's noise in this frame, as float32 noise of this patch's size in the frame."""
        here, there = self.corner(track, frame), other.place.corner(track, frame)
        offset = (here[0] - there[0], here[1] - there[1])
        return _part(other.noise(), offset, (self.width, self.height), border=cv2.BORDER_CONSTANT)


@dataclass
class FrameSample:
    """One frame of a window: its patch, and the way back to the key frame.

    Attributes:
        frame: its index.
        corner: of the patch.
        clean: uint8 ``(h, w, 3)``.
        grid: for :func:`cloak.video.flow.moved_tensor`.
        squares: by side, the whole frame padded to a square, for detectors that want that.
        top_left_squares: the same with the frame in the square's upper left corner.
    """

    frame: int
    corner: tuple[int, int]
    clean: np.ndarray
    grid: Tensor
    squares: dict[int, Tensor] = field(default_factory=dict)
    top_left_squares: dict[int, Tensor] = field(default_factory=dict)


class MovingNoise:
    """A window's finished noise, moved to one later frame after another.

    Args:
        noise: int8 ``(h, w, 3)`` in levels of 255, for the key frame.
        follower: knows the key frame.
    """

    def __init__(self, place: PatchGeometry, noise: np.ndarray, follower: FlowTracker) -> None:
        self.place = place
        self._noise, self._follower = noise.astype(np.float32), follower
        self._levels = float(np.abs(self._noise).max(initial=0))
        self._here = self._noise

    def move(self, patch: np.ndarray) -> bool:
        """Go on to the next frame, whose patch this is; False where it no longer resembles the key frame."""
        flow = self._follower.follow(patch)
        self._here = np.clip(moved(self._noise, flow), -self._levels, self._levels)
        return self._follower.holds(patch, flow)

    def noise(self) -> np.ndarray:
        """float32 ``(height, width, 3)`` of the patch in the present frame, in levels."""
        return self.place.spread(self._here)


def _part(
    pixels: np.ndarray, corner: tuple[int, int], size: tuple[int, int], *, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """The rectangle, whatever of it lies in the picture; the rest is filled."""
    height, width = pixels.shape[:2]
    left, top = (
        min(max(corner[0], 1 - size[0]), width - 1),
        min(max(corner[1], 1 - size[1]), height - 1),
    )
    right, bottom = left + size[0], top + size[1]
    inner = pixels[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    return np.asarray(
        cv2.copyMakeBorder(
            inner,
            max(0, -top),
            max(0, bottom - height),
            max(0, -left),
            max(0, right - width),
            border,
            value=(0, 0, 0),
        )
    )
