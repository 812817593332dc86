"""Swap the face of a picture or through a video; what is written here is not labelled yet.

:func:`synth.commands_swap.swap` hands it to :func:`synth.label.label_generated`, the only door out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloak.video_io import Frame, VideoInfo, damaged_frames, expected_frames, frames, probe
from cloak.video_write import Writer
from provenance.errors import NoFaceError
from provenance.media import encode_picture, open_picture
from synth.extraction.finder import FaceFinder
from synth.label import mark_visibly
from synth.swap import smooth
from synth.swap.convert import Swapper
from synth.swap.flicker import Flicker, FlickerMeter

_POINTS = 468
_PIXELS_AT_ONCE = 48_000_000
_CRF, _SPEED = 17, "medium"
Report = Callable[[float], None]


@dataclass(frozen=True)
class SwapReport:
    """What was done.

    Attributes:
        frames: in all.
        swapped: frames in which a face was replaced.
        without_face: passed through as they were.
        with_several: had more than one face; the one nearest to the face before was taken, at first the largest.
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


def swap_picture(path: Path, output: Path, swapper: Swapper, finder: FaceFinder, *, mark: bool) -> SwapReport:
    """Swap the largest face of a picture; PNG stays PNG, everything else becomes JPEG.

    Raises:
        NoFaceError: it shows no face.
        MediaError: it cannot be read.
    """
    picture = open_picture(path)
    found = finder.find(picture.pixels)
    if not found:
        raise NoFaceError(
            f"{path.name} shows no face", hint="name a picture that shows a face from the front"
        )
    swapper.forget()
    (swapped,) = swapper.swap([picture.pixels], [found[0].landmarks])
    assert swapped is not None  # noqa: S101 - there were landmarks
    pixels = swapped.pixels
    if mark:
        pixels = mark_visibly(pixels)
        if picture.alpha is not None:  # a mark on what is transparent would be no visible mark
            marked = (pixels != swapped.pixels).any(2)
            picture = replace(picture, alpha=np.where(marked, np.uint8(255), picture.alpha))
    name = "PNG" if output.suffix.lower() == ".png" else "JPEG"
    data = encode_picture(replace(picture, pixels=pixels), name, quality=95 if name == "JPEG" else None)
    output.write_bytes(data)
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


def track(info: VideoInfo, finder: FaceFinder, progress: Report | None = None) -> Tracked:
    """Find the face in every frame: at first the largest, then the one nearest to where it was."""
    expected, rows, times, several = expected_frames(info), [], [], 0
    before: NDArray[np.float64] | None = None
    for frame in frames(info):
        found = finder.find(frame.rgb())
        several += len(found) > 1
        best = found[0] if found else None
        if before is not None and len(found) > 1:
            last = before
            best = min(found, key=lambda face: float(np.linalg.norm(face.landmarks[:, :2].mean(0) - last)))
        if best is None:
            rows.append(np.full((_POINTS, 2), np.nan))
        else:
            rows.append(best.landmarks[:, :2].astype(np.float64))
            before = rows[-1].mean(0)
        times.append(float(frame.pts * info.time_base))
        if progress:
            progress(min(1.0, len(rows) / expected))
    return Tracked(np.stack(rows), np.array(times), several)


def swap_video(
    path: Path,
    output: Path,
    swapper: Swapper,
    finder: FaceFinder,
    *,
    mark: bool,
    tracked: Tracked | None = None,
    progress: Report | None = None,
) -> SwapReport:
    """Swap one face through a video. Sound, times, turning and what is no face stay as they are.

    Args:
        path, output: files; the output's suffix names its container.
        swapper, finder: ready ones.
        mark: draw the visible mark.
        tracked: from an earlier :func:`track` of the same video.
        progress: is told the share done.

    Raises:
        NoFaceError: no frame shows a face.
        MediaError: it cannot be read; UsageError: the container cannot hold the sound.
    """
    info = probe(path)
    half = (lambda share: progress(share / 2)) if progress else None
    tracked = tracked or track(info, finder, half)
    total = len(tracked.times)
    if not tracked.found.any():
        raise NoFaceError(f"{path.name} shows no face in any of {total} frames", hint="name other footage")
    options = swapper.options
    steady = smooth.steadied(options.steady, tracked.landmarks, tracked.times, options.steadiness)
    meter, done = FlickerMeter(), 0
    swapper.forget()
    with Writer(output, info, crf=_CRF, preset=_SPEED) as writer:
        for group in _groups(frames(info), info):
            points = [steady[frame.index] if _there(steady, frame.index) else None for frame, _ in group]
            results = swapper.swap([pixels for _, pixels in group], points)
            for (frame, pixels), swapped in zip(group, results, strict=True):
                shown = pixels
                if swapped is None:
                    meter.skip()
                else:
                    meter.add(pixels, swapped.pixels, swapped.mask)
                    shown = swapped.pixels
                shown = mark_visibly(shown) if mark else shown
                change = None if shown is pixels else shown.astype(np.int16) - pixels
                writer.write(frame, change)
                done += 1
                if progress:
                    progress(0.5 + 0.5 * min(1.0, done / total))
    found = int(tracked.found.sum())
    return SwapReport(total, found, total - found, tracked.with_several, meter.result(), damaged_frames(info))


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
