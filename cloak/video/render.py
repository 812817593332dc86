"""From the windows' noise to encoded versions of the video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from cloak.evaluate.quality import crop
from cloak.options import CloakOptions
from cloak.picture.rounds import GRAINY
from cloak.pixels import to_tensor
from cloak.veils import VeilName, veil_of
from cloak.veils.flip import Flip
from cloak.video.flow import FlowTracker, flicker, moved
from cloak.video.grain import MovingGrain
from cloak.video.io import Frame, VideoInfo, frames
from cloak.video.options import VideoOptions
from cloak.video.patches import MovingNoise
from cloak.video.state import VideoAnalysis, WindowNoise, WorkState
from cloak.video.tracks import Track
from cloak.video.veil import MOST_LEVELS, WindowVeil, display_scale, to_levels, to_noise
from cloak.video.write import Writer

#: Over so many frames one window's noise gives way to the next one's; over fewer in short windows.
BLEND = 4
_BLOCK, _NEIGHBOURHOOD = 4, 32
#: Pixels at the edge of a face that are left out where its own change is measured.
_RIM = 4


@dataclass
class NoiseStatistics:
    """Statistics of the noise before encoding, over the frames in which faces are detected.

    Attributes:
        largest: change of a channel, in levels.
        sizes, flickers: mean absolute noise on a face, and what of it changed since the frame before.
        flips: FLIP of a face.
    """

    largest: int = 0
    sizes: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)
    flips: list[float] = field(default_factory=list)


class NoiseRenderer:
    """Noise, or a veil, for one frame after another, from the windows that were searched.

    Args:
        info, analysis, state: of the film.
        options: of the cloak.
        change: what is shown instead of a window's own noise, given that and the key frame's patch, uint8
            ``(h, w, 3)``; int8 ``(h, w, 3)`` in levels.
    """

    def __init__(
        self,
        info: VideoInfo,
        analysis: VideoAnalysis,
        state: WorkState,
        options: CloakOptions,
        change: Callable[[WindowNoise, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.info, self.analysis, self.state = info, analysis, state
        self.levels = options.level.levels if options.chosen_veil is VeilName.NOISE else MOST_LEVELS
        #: Film grain changes brightness alone.
        self.chroma = options.chosen_veil in (VeilName.NOISE, VeilName.LIGHT)
        self._change = change or (lambda noise, _: noise.levels)
        veil, scale = veil_of(options.chosen_veil, grey=True), display_scale(info.upright)
        self._grain = (
            MovingGrain(veil, scale, info.upright, options.seed)
            if veil is not None and options.chosen_veil in GRAINY
            else None
        )
        self._current: dict[int, tuple[WindowNoise, MovingNoise]] = {}
        self._previous: dict[int, tuple[WindowNoise, MovingNoise]] = {}

    def noise(self, frame: int, pixels: Callable[[], np.ndarray]) -> np.ndarray | None:
        """int8 ``(H, W, 3)``, upright, in levels; None where nothing is to be added."""
        active = [index for index, track in enumerate(self.analysis.tracks) if track.covers(frame)]
        for index in list(self._current):
            if index not in active:
                del self._current[index]
                self._previous.pop(index, None)
        if not active and self._grain is None:
            return None
        shown = pixels()
        canvas = np.zeros(shown.shape, np.int8)
        for index in active:
            self._advance(index, frame, shown)
            if index in self._current:
                self._add_patch(canvas, index, frame)
        if self._grain is not None:
            self._add_grain(canvas, frame, shown)
        return canvas

    def _add_grain(self, canvas: np.ndarray, frame: int, pixels: np.ndarray) -> None:
        """Grain around the faces, in place."""
        if self._grain is None:
            return
        faces = []
        for index, (window, _) in self._current.items():
            corner = window.place.corner(self.analysis.tracks[index], frame)
            faces.append(window.place.face_in(corner))
        whole = canvas + self._grain.of(frame, pixels, faces)[..., None].astype(np.int16)
        np.copyto(canvas, np.clip(whole, -self.levels, self.levels).astype(np.int8))

    def _advance(self, index: int, frame: int, pixels: np.ndarray) -> None:
        """Carry this face's noise on to this frame."""
        track = self.analysis.tracks[index]
        current = self._current.get(index)
        if current is not None and frame <= current[0].last:
            _move_noise(current[1], track, frame, pixels)
        else:
            noise = self.state.noise(index, frame)
            if noise is None:
                self._current.pop(index, None)
                return
            if current is not None:
                self._previous[index] = current
            patch = noise.place.cut(pixels, noise.place.corner(track, frame))
            carrier = MovingNoise(noise.place, self._change(noise, patch), FlowTracker(patch))
            self._current[index] = (noise, carrier)
        if index in self._previous:
            over = frame - self._current[index][0].first >= _blend(self._current[index][0])
            # noise that no longer fits its background is dropped
            if over or not _move_noise(self._previous[index][1], track, frame, pixels):
                del self._previous[index]

    def _add_patch(self, canvas: np.ndarray, index: int, frame: int) -> None:
        """Put the noise where it belongs. Where two faces meet, the larger change counts; faces come before decoys."""
        track = self.analysis.tracks[index]
        window, carrier = self._current[index]
        here = carrier.noise()
        if index in self._previous:
            share = (frame - window.first + 1) / (_blend(window) + 1)
            here = share * here + (1 - share) * window.place.recut(self._previous[index][1], track, frame)
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
    film: NoiseRenderer,
    output: Path,
    options: CloakOptions,
    video: VideoOptions,
    *,
    bare: bool = False,
    plain: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> NoiseStatistics:
    """Encode the video with its noise.

    Args:
        bare: without sound, only to be judged.
        plain: also encode it without noise, to this file.
    """
    statistics = NoiseStatistics()
    earlier: tuple[np.ndarray, np.ndarray] | None = None
    info, interval = film.info, film.analysis.interval
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
            shown = _LazyPixels(frame)
            noise = film.noise(frame.index, shown)
            if noise is not None:
                statistics.largest = max(statistics.largest, int(np.abs(noise).max()))
                if frame.index % interval == 0 and earlier is not None:
                    _measure(statistics, film, frame.index, earlier, (shown(), noise))
            earlier = (shown(), noise) if noise is not None and (frame.index + 1) % interval == 0 else None
            out.write(frame, noise, chroma=film.chroma)
            if uncloaked is not None:
                uncloaked.write(frame, None)
            progress((frame.index + 1) / film.analysis.frames)
    return statistics


@dataclass(frozen=True)
class FaceFlicker:
    """What changes on a face from one frame to the next besides moving along, mean absolute values in levels of 255.

    Attributes:
        noise: the noise itself.
        flicker: what of the noise is new.
        original: what of the picture without noise is new.
    """

    noise: float
    flicker: float
    original: float


def face_flicker(
    box: np.ndarray, earlier: tuple[np.ndarray, np.ndarray], later: tuple[np.ndarray, np.ndarray]
) -> FaceFlicker | None:
    """Measured on two frames that follow each other; None for a face that is too small.

    Args:
        box: of the face.
        earlier, later: uint8 ``(H, W, 3)`` pixels without noise, and the noise.
    """
    height, width = later[0].shape[:2]
    x1, y1 = max(0, round(box[0])), max(0, round(box[1]))
    x2, y2 = min(width, round(box[2])), min(height, round(box[3]))
    if x2 - x1 < 16 or y2 - y1 < 16:
        return None
    part = (slice(y1, y2), slice(x1, x2))
    clean_before, clean_now = (np.ascontiguousarray(one[0][part]) for one in (earlier, later))
    flow = FlowTracker(clean_before).follow(clean_now)
    before, now = (one[1][part].astype(np.float32) for one in (earlier, later))
    gap = clean_now.astype(np.float32) - moved(clean_before.astype(np.float32), flow)
    inside = gap[_RIM:-_RIM, _RIM:-_RIM]  # what came in from outside of the face is not known
    return FaceFlicker(float(np.abs(now).mean()), flicker(before, now, flow), float(np.abs(inside).mean()))


def control_of(
    options: CloakOptions, size: tuple[int, int]
) -> Callable[[WindowNoise, np.ndarray], np.ndarray]:
    """What :class:`NoiseRenderer` shows instead of what was searched: noise of equal energy, or of a veil random
    parameters that are as visible on the face.

    Args:
        size: width and height of the frames.
    """

    def change(noise: WindowNoise, patch: np.ndarray) -> np.ndarray:
        clean = to_tensor(patch)
        veil = WindowVeil.of(options.chosen_veil, options.level, noise.place, clean, display_scale(size))
        if veil is None:
            return equal_energy(noise, options.seed)
        return to_levels(veil.random(to_noise(noise.levels), options.seed + 1000 + noise.track))

    return change


def equal_energy(noise: WindowNoise, seed: int) -> np.ndarray:
    """The control of plain noise: the same changes in the same neighbourhoods, but shuffled and with random signs.

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


class _LazyPixels:
    """A frame's upright pixels, converted when they are first wanted."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._pixels: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        if self._pixels is None:
            self._pixels = self._frame.rgb()
        return self._pixels


def _blend(noise: WindowNoise) -> int:
    return min(BLEND, (noise.last - noise.first + 1) // 4)


def _move_noise(carrier: MovingNoise, track: Track, frame: int, pixels: np.ndarray) -> bool:
    return carrier.move(carrier.place.cut(pixels, carrier.place.corner(track, frame)))


def _measure(
    statistics: NoiseStatistics,
    film: NoiseRenderer,
    frame: int,
    earlier: tuple[np.ndarray, np.ndarray],
    later: tuple[np.ndarray, np.ndarray],
) -> None:
    pixels, noise = later
    for track in film.analysis.faces:
        if not track.first < frame <= track.last:
            continue
        box = track.box(frame)
        if values := face_flicker(box, earlier, later):
            statistics.sizes.append(values.noise)
            statistics.flickers.append(values.flicker)
            corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
            shown = np.clip(pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8)
            statistics.flips.append(face_flip(crop(pixels, corners), crop(shown, corners)))


def face_flip(clean: np.ndarray, changed: np.ndarray) -> float:
    """Mean FLIP between two crops of a face, uint8 ``(H, W, 3)``."""
    with torch.no_grad():
        return float(Flip(to_tensor(clean)).error_map(to_tensor(changed)).mean())
