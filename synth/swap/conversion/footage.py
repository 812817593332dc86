"""Swap the face of a picture or through a video.

What is written here is not labelled yet, so it goes into a :class:`synth.quarantine.Quarantine` and nowhere else.
:func:`synth.swap.make.make_swap` labels it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloak.video.io import Frame, VideoInfo, damaged_frames, expected_frames, frames, probe
from cloak.video.write import Writer
from provenance.errors import NoFaceError
from provenance.media.picture import encode_picture, open_picture
from synth.extraction.finder import FaceFinder
from synth.label import mark_visibly
from synth.quarantine import Unlabelled
from synth.swap.conversion import smooth
from synth.swap.conversion.convert import Swapper
from synth.swap.conversion.face_selector import FaceSelector, faces_of
from synth.swap.flicker import Flicker, FlickerMeter

_POINTS = 468
_PIXELS_AT_ONCE = 48_000_000
_CRF, _SPEED = 17, "medium"
Progress = Callable[[float], None]


@dataclass(frozen=True)
class SwapReport:
    """What was done.

    Attributes:
        frames: in all.
        swapped: frames in which a face was replaced.
        without_face: passed through as they were; with a reference, also frames that show only others.
        with_several: had more than one face; see :class:`~synth.swap.conversion.face_selector.FaceSelector` for which
            was taken.
        flicker: None for a picture.
        damaged: frames of the footage that are missing, or mended by the decoder, since the file is damaged there.
    """

    frames: int
    swapped: int
    without_face: int
    with_several: int
    flicker: Flicker | None = None
    damaged: int = 0

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        if self.flicker is not None:
            data["flicker"] = {
                **{name: round(value, 3) for name, value in asdict(self.flicker).items()},
                "added": round(self.flicker.added, 3),
            }
        return data


def _render_picture(
    path: Path,
    made: Unlabelled,
    swapper: Swapper,
    finder: FaceFinder,
    *,
    mark: bool,
    selector: FaceSelector | None = None,
) -> SwapReport:
    """Swap a face of a picture; PNG stays PNG, everything else becomes JPEG.

    Args:
        path: a picture. made: where the result goes.
        swapper, finder: ready ones.
        mark: draw the visible mark.
        selector: chooses the face; without it, the largest.

    Raises:
        NoFaceError: it shows no face, or not the one that is meant.
        MediaError: it cannot be read.
    """
    picture = open_picture(path)
    found, selector = faces_of(finder.find(picture.pixels)), selector or FaceSelector()
    chosen = selector.choose(found, picture.pixels)
    if chosen is None:
        message, hint = _nobody(path, selector, "", "name a picture that shows a face from the front")
        raise NoFaceError(message, hint=hint)
    swapper.forget()
    (swapped,) = swapper.swap([picture.pixels], [chosen.landmarks])
    assert swapped is not None  # noqa: S101 - there were landmarks
    pixels = swapped.pixels
    if mark:
        pixels = mark_visibly(pixels, chosen.landmarks)
        if picture.alpha is not None:  # a mark on what is transparent would be no visible mark
            marked = (pixels != swapped.pixels).any(2)
            picture = replace(picture, alpha=np.where(marked, np.uint8(255), picture.alpha))
    name = "PNG" if made.path.suffix.lower() == ".png" else "JPEG"
    data = encode_picture(replace(picture, pixels=pixels), name, quality=95 if name == "JPEG" else None)
    made.path.write_bytes(data)
    return SwapReport(1, 1, 0, int(len(found) > 1))


@dataclass
class Tracked:
    """The landmarks of one face through a video.

    Attributes:
        landmarks: ``(T, 468, 2)`` in pixels of the upright frames, NaN where no face was found.
        times: ``(T,)`` seconds.
        with_several: frames with more than one face.
    """

    landmarks: NDArray[np.float64]
    times: NDArray[np.float64]
    with_several: int

    @property
    def found(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.landmarks[:, 0, 0]))


def track_landmarks(
    info: VideoInfo,
    finder: FaceFinder,
    progress: Progress | None = None,
    selector: FaceSelector | None = None,
) -> Tracked:
    """Find the face in every frame; ``selector`` chooses. Without it, it is at first the largest, then the one
    nearest to where it was.
    """
    expected, rows, times, several = expected_frames(info), [], [], 0
    selector = selector or FaceSelector()
    for frame in frames(info):
        pixels = frame.rgb()
        found = faces_of(finder.find(pixels))
        several += len(found) > 1
        chosen = selector.choose(found, pixels)
        if chosen is None:
            rows.append(np.full((_POINTS, 2), np.nan))
        else:
            rows.append(chosen.landmarks[:, :2].astype(np.float64))
        times.append(float(frame.pts * info.time_base))
        if progress:
            progress(min(1.0, len(rows) / expected))
    return Tracked(np.stack(rows), np.array(times), several)


def _render_video(
    path: Path,
    made: Unlabelled,
    swapper: Swapper,
    finder: FaceFinder,
    *,
    mark: bool,
    selector: FaceSelector | None = None,
    tracked: Tracked | None = None,
    progress: Progress | None = None,
) -> SwapReport:
    """Swap one face through a video. Sound, times, turning and what is no face stay as they are.

    Args:
        path: a video. made: where the result goes; its suffix names the container.
        swapper, finder: ready ones.
        mark: draw the visible mark.
        selector: chooses the face; without it, the largest and then the one nearest to where it was.
        tracked: from an earlier :func:`track_landmarks` of the same video, which then has chosen.
        progress: called with the share done.

    Raises:
        NoFaceError: no frame shows a face, or the one that is meant.
        MediaError: it cannot be read; UsageError: the container cannot hold the sound.
    """
    info = probe(path)
    half = (lambda share: progress(share / 2)) if progress else None
    tracked = tracked or track_landmarks(info, finder, half, selector)
    total = len(tracked.times)
    if not tracked.found.any():
        message, hint = _nobody(path, selector, f" in any of {total} frames", "name other footage")
        raise NoFaceError(message, hint=hint)
    options = swapper.options
    steady = smooth.stabilised(options.steady, tracked.landmarks, tracked.times, options.steadiness)
    meter, done = FlickerMeter(), 0
    swapper.forget()
    with Writer(made.path, info, crf=_CRF, preset=_SPEED) as writer:
        for group in _groups(frames(info), info):
            points = [steady[frame.index] if _there(steady, frame.index) else None for frame, _ in group]
            results = swapper.swap([pixels for _, pixels in group], points)
            for (frame, pixels), face, swapped in zip(group, points, results, strict=True):
                shown = pixels
                if swapped is None:
                    meter.skip()
                else:
                    meter.add(pixels, swapped.pixels, swapped.mask)
                    shown = swapped.pixels
                shown = mark_visibly(shown, face) if mark else shown
                change = None if shown is pixels else shown.astype(np.int16) - pixels
                writer.write(frame, change)
                done += 1
                if progress:
                    progress(0.5 + 0.5 * min(1.0, done / total))
    found = int(tracked.found.sum())
    return SwapReport(total, found, total - found, tracked.with_several, meter.result(), damaged_frames(info))


def _nobody(path: Path, selector: FaceSelector | None, where: str, otherwise: str) -> tuple[str, str]:
    if selector is not None and selector.by_reference:
        return f"{path.name} does not show the person of the reference{where}", "name another reference"
    return f"{path.name} shows no face{where}", otherwise


def _there(series: NDArray[np.float64], index: int) -> bool:
    return index < len(series) and not np.isnan(series[index, 0, 0])


def _groups(source: Iterator[Frame], info: VideoInfo) -> Iterator[list[tuple[Frame, NDArray[np.uint8]]]]:
    """Frames in groups that the generator sees together, as many as memory bears."""
    most = max(1, min(16, _PIXELS_AT_ONCE // (info.size[0] * info.size[1])))
    group: list[tuple[Frame, NDArray[np.uint8]]] = []
    for frame in source:
        group.append((frame, frame.rgb()))
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
