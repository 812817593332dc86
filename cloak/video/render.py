"""From the windows' noise to encoded versions of the video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cloak.options import CloakOptions
from cloak.video.flow import Follower, flicker
from cloak.video.io import Frame, VideoInfo, frames
from cloak.video.options import VideoOptions
from cloak.video.state import Noise, Plan, State
from cloak.video.tracks import Track
from cloak.video.window import Carrier
from cloak.video.write import Writer

#: Over so many frames one window's noise gives way to the next one's; over fewer in short windows.
BLEND = 4
_BLOCK, _NEIGHBOURHOOD = 4, 32


@dataclass
class NoiseFigures:
    """What the noise was like before encoding, over the frames that are looked at.

    Attributes:
        largest: change of a channel, in levels.
        sizes, flickers: mean absolute noise on a face, and what of it changed since the frame before.
    """

    largest: int = 0
    sizes: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)


class Film:
    """Noise for one frame after another, from the windows that were searched."""

    def __init__(
        self,
        info: VideoInfo,
        plan: Plan,
        state: State,
        levels: int,
        change: Callable[[Noise], np.ndarray] | None = None,
    ) -> None:
        self.info, self.plan, self.state, self.levels = info, plan, state, levels
        self._change = change or (lambda noise: noise.levels)
        self._now: dict[int, tuple[Noise, Carrier]] = {}
        self._before: dict[int, tuple[Noise, Carrier]] = {}

    def noise(self, frame: int, pixels: Callable[[], np.ndarray]) -> np.ndarray | None:
        """int8 ``(H, W, 3)``, upright, in levels; None where no face is."""
        active = [index for index, track in enumerate(self.plan.tracks) if track.covers(frame)]
        for index in list(self._now):
            if index not in active:
                del self._now[index]
                self._before.pop(index, None)
        if not active:
            return None
        shown = pixels()
        canvas = np.zeros(shown.shape, np.int8)
        for index in active:
            self._advance(index, frame, shown)
            if index in self._now:
                self._lay(canvas, index, frame)
        return canvas

    def _advance(self, index: int, frame: int, pixels: np.ndarray) -> None:
        """Carry this face's noise on to this frame."""
        track = self.plan.tracks[index]
        current = self._now.get(index)
        if current is not None and frame <= current[0].last:
            _move(current[1], track, frame, pixels)
        else:
            noise = self.state.noise(index, frame)
            if noise is None:
                self._now.pop(index, None)
                return
            if current is not None:
                self._before[index] = current
            patch = noise.place.cut(pixels, noise.place.corner(track, frame))
            self._now[index] = (noise, Carrier(noise.place, self._change(noise), Follower(patch)))
        if index in self._before:
            over = frame - self._now[index][0].first >= _blend(self._now[index][0])
            # noise that no longer fits what it lies on helps nobody
            if over or not _move(self._before[index][1], track, frame, pixels):
                del self._before[index]

    def _lay(self, canvas: np.ndarray, index: int, frame: int) -> None:
        """Put the noise where it belongs. Where two faces meet, the larger change counts; faces come before decoys."""
        track = self.plan.tracks[index]
        window, carrier = self._now[index]
        here = carrier.noise()
        if index in self._before:
            share = (frame - window.first + 1) / (_blend(window) + 1)
            here = share * here + (1 - share) * window.place.recut(self._before[index][1], track, frame)
        left, top = window.place.corner(track, frame)
        target = canvas[
            max(0, top) : max(0, top + here.shape[0]), max(0, left) : max(0, left + here.shape[1])
        ]
        part = here[
            max(0, -top) : max(0, -top) + target.shape[0], max(0, -left) : max(0, -left) + target.shape[1]
        ]
        whole = np.clip(np.rint(part), -self.levels, self.levels).astype(np.int8)
        free = target == 0 if track.decoy else np.abs(whole) > np.abs(target)
        np.copyto(target, whole, where=free)


def render(
    film: Film,
    output: Path,
    options: CloakOptions,
    video: VideoOptions,
    *,
    bare: bool = False,
    plain: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> NoiseFigures:
    """Encode the video with its noise.

    Args:
        bare: without sound, only to be judged.
        plain: also encode it without noise, to this file.
    """
    figures = NoiseFigures()
    earlier: tuple[np.ndarray, np.ndarray] | None = None
    info, every = film.info, film.plan.every
    with ExitStack() as stack:
        out = stack.enter_context(
            Writer(output, info, crf=video.crf, preset=video.preset, keep_gps=options.keep_gps, bare=bare)
        )
        uncloaked = None
        if plain is not None:
            uncloaked = stack.enter_context(
                Writer(plain, info, crf=video.crf, preset=video.preset, bare=True)
            )
        for frame in frames(info):
            shown = _Once(frame)
            noise = film.noise(frame.index, shown)
            if noise is not None:
                figures.largest = max(figures.largest, int(np.abs(noise).max()))
                if frame.index % every == 0 and earlier is not None:
                    _measure(figures, film.plan, frame.index, earlier, (shown(), noise))
            earlier = (shown(), noise) if noise is not None and (frame.index + 1) % every == 0 else None
            out.write(frame, noise)
            if uncloaked is not None:
                uncloaked.write(frame, None)
            progress((frame.index + 1) / film.plan.frames)
    return figures


def face_flicker(
    box: np.ndarray, earlier: tuple[np.ndarray, np.ndarray], later: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float] | None:
    """Mean absolute noise on a face, and what of it is new since the frame before.

    Args:
        box: of the face.
        earlier, later: of two frames that follow each other, uint8 ``(H, W, 3)`` pixels without noise, and the noise.
    """
    height, width = later[0].shape[:2]
    x1, y1 = max(0, round(box[0])), max(0, round(box[1]))
    x2, y2 = min(width, round(box[2])), min(height, round(box[3]))
    if x2 - x1 < 16 or y2 - y1 < 16:
        return None
    part = (slice(y1, y2), slice(x1, x2))
    flow = Follower(np.ascontiguousarray(earlier[0][part])).follow(np.ascontiguousarray(later[0][part]))
    before, now = (one[1][part].astype(np.float32) for one in (earlier, later))
    return float(np.abs(now).mean()), flicker(before, now, flow)


def equal_energy(noise: Noise, seed: int) -> np.ndarray:
    """The control: the same changes in the same neighbourhoods, but shuffled and with random signs.

    The order is the same for all windows of a face, so that it moves and stays as the cloak's noise does.
    """
    rng = np.random.default_rng([seed, noise.track])
    levels = noise.levels.copy()
    height, width = levels.shape[:2]
    for top in range(0, height - _NEIGHBOURHOOD + 1, _NEIGHBOURHOOD):
        for left in range(0, width - _NEIGHBOURHOOD + 1, _NEIGHBOURHOOD):
            part = levels[top : top + _NEIGHBOURHOOD, left : left + _NEIGHBOURHOOD]
            count = _NEIGHBOURHOOD // _BLOCK
            blocks = part.reshape(count, _BLOCK, count, _BLOCK, 3).swapaxes(1, 2)
            blocks = blocks.reshape(-1, _BLOCK, _BLOCK, 3)[rng.permutation(count * count)]
            blocks = blocks * rng.choice((-1, 1), (count * count, 1, 1, 3)).astype(np.int8)
            shuffled = blocks.reshape(count, count, _BLOCK, _BLOCK, 3).swapaxes(1, 2)
            part[...] = shuffled.reshape(part.shape)
    return levels


class _Once:
    """A frame's upright pixels, converted when they are first wanted."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._pixels: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        if self._pixels is None:
            self._pixels = self._frame.rgb()
        return self._pixels


def _blend(noise: Noise) -> int:
    return min(BLEND, (noise.last - noise.first + 1) // 4)


def _move(carrier: Carrier, track: Track, frame: int, pixels: np.ndarray) -> bool:
    return carrier.move(carrier.place.cut(pixels, carrier.place.corner(track, frame)))


def _measure(
    figures: NoiseFigures,
    plan: Plan,
    frame: int,
    earlier: tuple[np.ndarray, np.ndarray],
    later: tuple[np.ndarray, np.ndarray],
) -> None:
    for track in plan.faces:
        if track.first < frame <= track.last and (values := face_flicker(track.box(frame), earlier, later)):
            figures.sizes.append(values[0])
            figures.flickers.append(values[1])
