"""A window: a range of frames that share one noise.

The noise belongs to the first frame of the window, the key frame, and moves with optical flow. In the search the frames
are transformations, like JPEG and resizing: each step samples another one. The noise that is found therefore holds for
all frames, and only its motion differs from frame to frame.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack import transforms
from cloak.attack.conditions import Condition, publication_conditions
from cloak.attack.frames import WholeFrame
from cloak.attack.transforms import Transform
from cloak.attack.whole_frame import SquareFrame, resampling_matrix
from cloak.detectors.geometry.rendering import Affine, Rendering
from cloak.pixels import to_tensor
from cloak.video.flow import FlowTracker, grid_of, moved_tensor
from cloak.video.patches import FACE_SIDE, FrameSample, MovingNoise, PatchGeometry
from cloak.video.tracks import Track

#: Number of frames of a window that the search samples.
SAMPLES = 10
#: Smallest number of frames of a window, however much moves in them.
_MIN_FRAMES = 5


class Window:
    """Collects samples frame by frame, then tells the search about them.

    Args:
        track: the face.
        first: the key frame.
        last: no later frame belongs to it.
        sides: of the squares that detectors want.
        place: of the patch, where it is known already.
        top_left_sides: sides of the squares that detectors want which put the frame into the corner.
        face_side: the face is worked on at no more pixels than this, where ``place`` does not say.

    Attributes:
        samples: the frames that the search is shown.
        size: width and height of the frames.
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
        face_side: int = FACE_SIDE,
    ) -> None:
        self.track, self.first, self.last, self.device = track, first, last, device
        self.place = place or PatchGeometry.of(track, first, last, face_side)
        self.samples: list[FrameSample] = []
        self.size = (0, 0)
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
        """The conditions under which the published video may reach a detector, each in any of the sampled frames.

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
        """From the key frame with noise, or a part of it, to the same part of another frame with that noise, moved."""
        key, clean, grid = self.key, to_tensor(sample.clean, self.device), sample.grid

        def render(given: Rendering) -> Rendering:
            height, width = given.pixels.shape[-2:]
            left, top = (round(side) for side in given.affine.offset)
            rows, columns = slice(top, top + height), slice(left, left + width)
            rest = (left, key.shape[-1] - left - width, top, key.shape[-2] - top - height)
            noise = functional.pad(given.pixels - key[..., rows, columns], rest)
            pixels = transforms.quantise(clean + moved_tensor(noise, grid, limit))[..., rows, columns]
            return Rendering(pixels, sample.frame, given.affine)

        return Transform(f"frame {sample.frame}", render)

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


class WindowSquares:
    """Whole frames with the window's noise, shrunk to a square; each call of ``next_frame`` returns the next one.

    Args:
        window: whose samples are shown.
        limit: the largest change of a pixel, in [0, 1].
        coders: what the patch goes through before it is shrunk, in turns.
        top_left: the frame lies in the square's upper left corner, not in its middle.
    """

    def __init__(
        self, window: Window, limit: float, coders: Sequence[Transform], *, top_left: bool = False
    ) -> None:
        self.window, self.limit, self.top_left, self._coders = window, limit, top_left, coders
        self._turns = itertools.cycle(
            (sample, coders[(turn + place) % len(coders)])
            for turn in range(len(coders))
            for place, sample in enumerate(window.samples)
        )
        width, height = window.size
        self.longest = max(width, height)
        self.pad = (0, 0) if top_left else ((self.longest - width) // 2, (self.longest - height) // 2)
        self._spans: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def whole_frame(self) -> WholeFrame:
        """The first of them; those after it in turns."""
        return self._of(self.window.samples[0], self._coders[0])

    def _next(self) -> WholeFrame:
        return self._of(*next(self._turns))

    def _of(self, sample: FrameSample, coder: Transform) -> WholeFrame:
        return WholeFrame(partial(self._render, sample, coder), successor=self._next)

    def _render(self, sample: FrameSample, coder: Transform, noise: Tensor, side: int) -> Rendering:
        place, size = self.window.place, self.window.size
        if (sample.frame, side) not in self._spans:
            self._spans[sample.frame, side] = (
                self._span(side, sample.corner[1], place.height, place.work[0], self.pad[1], size[1]).to(
                    noise
                ),
                self._span(side, sample.corner[0], place.width, place.work[1], self.pad[0], size[0]).to(
                    noise
                ),
            )
        rows, columns = self._spans[sample.frame, side]
        clean = to_tensor(sample.clean, self.window.device)
        shown = coder(transforms.quantise(clean + moved_tensor(noise, sample.grid, self.limit)))
        squares = sample.top_left_squares if self.top_left else sample.squares
        work = place.work[1] / place.width
        scale = side / self.longest / work
        left, top = ((corner + pad) * work for corner, pad in zip(sample.corner, self.pad, strict=True))
        pixels = squares[side] + rows @ (shown - clean) @ columns.T
        return Rendering(pixels, sample.frame, Affine((scale, scale), (-left, -top)))

    def _span(self, side: int, start: int, length: int, work: int, pad: int, real: int) -> Tensor:
        """``(side, work)``: what a side of the patch's noise adds to that of the square."""
        shrink = resampling_matrix(self.longest, side, start + pad, length, valid=(pad, pad + real))
        return shrink @ resampling_matrix(work, length)
