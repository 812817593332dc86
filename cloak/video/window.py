"""A stretch of frames that share one noise: what the search is shown, and where the noise lies later.

The noise belongs to the first frame of the window, the key frame, and moves with optical flow. The search meets the
frames of the window as it meets JPEG and resizing: as transformations, another one in each step. So what it finds
holds for all of them, and nothing but movement changes from frame to frame.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack import transforms
from cloak.attack.task import Condition, WholeFrame, publication_conditions
from cloak.attack.transforms import Transform
from cloak.attack.whole_frame import SquareFrame
from cloak.evaluate.judge import to_tensor
from cloak.video.flow import FlowTracker, grid_of, moved, moved_tensor
from cloak.video.tracks import Track
from cloak.video.whole_frame import WindowSquares

#: A face is worked on at no more pixels than this.
FACE_SIDE = 208
#: So many frames of a window are shown to the search.
SAMPLES = 10
#: A window has so many frames at least, whatever moves in them.
_MIN_FRAMES = 5
_COARSE = 3
#: The patch reaches so many face sizes beyond the face: as much as the search looks at.
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
    def of(cls, track: Track, first: int, last: int) -> PatchGeometry:
        """For the face's largest size between two frames."""
        width, height = (max(8.0, side) for side in track.side(first, last))
        scale = min(1.0, FACE_SIDE / max(width, height))
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


class Window:
    """Collects samples frame by frame, then tells the search about them.

    Args:
        track: the face.
        first: the key frame.
        last: no later frame belongs to it.
        sides: of the squares that detectors want.
        place: of the patch, where it is known already.
        top_left_sides: sides of the squares that detectors want which put the frame into the corner.

    Attributes:
        samples: the frames that the search is shown.
        size: width and height of the frames.
        shown: the sample that a condition showed last.
    """

    def __init__(
        self,
        track: Track,
        first: int,
        last: int,
        sides: Sequence[int],
        device: str,
        place: PatchGeometry | None = None,
        top_left_sides: Sequence[int] = (),
    ) -> None:
        self.track, self.first, self.last, self.device = track, first, last, device
        self.place = place or PatchGeometry.of(track, first, last)
        self.samples: list[FrameSample] = []
        self.size = (0, 0)
        self.shown: FrameSample | None = None
        self._cuts: dict[tuple[int, int], tuple[int, int]] = {}
        self._sides, self._top_left_sides = sides, top_left_sides
        self.follower: FlowTracker | None = None
        self._every = max(1, -(-(last - first) // (SAMPLES - 1)) if last > first else 1)

    def offer(self, frame: int, pixels: np.ndarray, *, forced: bool = False) -> bool:
        """Take the next frame, uint8 ``(H, W, 3)`` upright; False where it no longer resembles the key frame.

        Args:
            forced: it belongs to the window whether or not it resembles the key frame.
        """
        corner = self.place.corner(self.track, frame)
        patch = self.place.cut(pixels, corner)
        if self.follower is None:
            self.follower = FlowTracker(patch)
            self.size = (pixels.shape[1], pixels.shape[0])
            flow = np.zeros((*patch.shape[:2], 2), np.float32)
        else:
            flow = self.follower.follow(patch)
            young = frame - self.first < _MIN_FRAMES
            if not forced and not young and not self.follower.holds(patch, flow):
                return False
        middle, corners = (
            {side: SquareFrame(pixels, self.device, top_left=aside).square(side) for side in sides}
            for sides, aside in ((self._sides, False), (self._top_left_sides, True))
        )
        # the latest frame is always a sample: the window may end here
        if self.samples and (self.samples[-1].frame - self.first) % self._every:
            self.samples.pop()
        self.samples.append(FrameSample(frame, corner, patch, grid_of(flow, self.device), middle, corners))
        return True

    @property
    def key(self) -> Tensor:
        """``(1, 3, h, w)`` in [0, 1], the key frame's patch."""
        return to_tensor(self.samples[0].clean, self.device)

    @property
    def picture_size(self) -> tuple[float, float]:
        """Height and width of the whole frame in working pixels."""
        scale = self.place.work[1] / self.place.width
        return self.size[1] * scale, self.size[0] * scale

    def publication_conditions(self, quality: int, limit: float) -> list[Condition]:
        """Ways in which the published video may reach a detector, each through any of the frames.

        Args:
            quality: of the JPEG that stands for the encoder during the search.
            limit: the largest change of a pixel, in [0, 1].
        """
        swaps = [self._swap(sample, limit) for sample in self.samples]
        height, width = self.place.work
        max_shift = max(1, min(24, height // 8, width // 8))
        result = []
        for number, base in enumerate(publication_conditions(quality, subsample=True, max_shift=max_shift)):
            # every frame as published; of the other conditions a few, not the same ones
            shown = swaps if number == 0 else swaps[number % 2 :: 3]
            evaluation_transforms = tuple(
                swap.then(base.evaluation_transforms[place % len(base.evaluation_transforms)])
                for place, swap in enumerate(shown or swaps)
            )

            def random_transform(rng: random.Random, base: Condition = base) -> Transform:
                return rng.choice(swaps).then(base.random_transform(rng))

            result.append(Condition(base.name, random_transform, evaluation_transforms))
        return result

    def _swap(self, sample: FrameSample, limit: float) -> Transform:
        """From the key frame with noise to another frame with that noise, moved."""
        key, clean, grid = self.key, to_tensor(sample.clean, self.device), sample.grid

        def apply(pictures: Tensor) -> Tensor:
            self.shown = sample
            height, width = pictures.shape[-2:]
            top, left = self._cut_from(pictures)
            rows, columns = slice(top, top + height), slice(left, left + width)
            rest = (left, key.shape[-1] - left - width, top, key.shape[-2] - top - height)
            noise = functional.pad(pictures - key[..., rows, columns], rest)
            return transforms.quantise(clean + moved_tensor(noise, grid, limit))[..., rows, columns]

        return Transform(f"frame {sample.frame}", apply)

    def _cut_from(self, pictures: Tensor) -> tuple[int, int]:
        """The search may show only the part around the face: where that begins, top and left.

        It is the place where the key frame fits best; noise is too small to hide that.
        """
        height, width = pictures.shape[-2:]
        if (height, width) not in self._cuts:
            key, shown = self.key, pictures.detach()[..., ::_COARSE, ::_COARSE]
            places = itertools.product(range(key.shape[-2] - height + 1), range(key.shape[-1] - width + 1))

            def misfit(at: tuple[int, int]) -> float:
                part = key[..., at[0] : at[0] + height : _COARSE, at[1] : at[1] + width : _COARSE]
                return float((part - shown).abs().sum())

            self._cuts[height, width] = min(places, key=misfit)
        return self._cuts[height, width]

    def whole_frame(self, limit: float, quality: int | None) -> WholeFrame | None:
        """Whole frames, small, one after another; None where no detector wants them.

        Args:
            limit, quality: as in :meth:`publication_conditions`; with a quality, the patch is coded before it is
                shrunk, in turns as published and as JPEG 75; None leaves it as it is.
        """
        coders = [transforms.identity()] if quality is None else [transforms.jpeg(q) for q in (quality, 75)]
        cornered = (
            WindowSquares(self, limit, coders, top_left=True).whole_frame() if self._top_left_sides else None
        )
        if self._sides:
            return replace(WindowSquares(self, limit, coders).whole_frame(), top_left=cornered)
        return cornered

    def carried(self, earlier: MovingNoise) -> Tensor:
        """An earlier window's noise as it lies in this one's key frame, ``(1, 3, h, w)``."""
        part = self.place.recut(earlier, self.track, self.first)
        small = cv2.resize(part, (self.place.work[1], self.place.work[0]), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(self.device) / 255


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
