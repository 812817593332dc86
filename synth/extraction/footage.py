"""Frames of footage: a video, a picture, or a folder of both. Upright, at their own times, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import (
    CorruptMediaError,
    MediaError,
    MediaTooLargeError,
    MissingPathError,
    UnknownFormatError,
    UsageError,
)
from provenance.media.decoding import frames_of, moving_pictures, why
from provenance.media.picture import detect_format, open_picture

#: About an hour at 60 frames a second.
MAX_FRAMES = 216_000
MAX_FRAME_PIXELS = 8192 * 8192
MAX_FILES = 100_000
#: Frame intervals that differ by more than this share of the usual one make a variable frame rate.
_UNEVEN = 0.2
_PATIENCE = 30.0


@dataclass(frozen=True)
class RawFrame:
    """A decoded frame.

    Attributes:
        index: counted from 0 within its source, skipped frames included.
        time: seconds from the source's first frame; 0 for a picture.
        pixels: uint8 ``(H, W, 3)`` RGB, turned as a player would show it.
    """

    index: int
    time: float
    pixels: NDArray[np.uint8]


@dataclass
class Source:
    """A file that frames come from; what is only known after decoding is filled in while :meth:`frames` runs.

    Attributes:
        path: the file.
        kind: ``video`` or ``picture``; ``unreadable`` for a file of a folder that is broken, see ``damage``.
        expected: how many frames the container promises, or 0 where it does not say.
        width, height: of the upright frames, once one was decoded.
        rotation: degrees, counter-clockwise, by which the container asks to turn the frames.
        seconds: time of the last frame.
        variable_frame_rate: frames are not evenly spaced.
        damage: why decoding ended early, or why nothing can be decoded, or empty.
        pages: how many pictures the file of a picture holds (an animation's, a TIFF's), of which the first is decoded.
    """

    path: Path
    kind: str
    expected: int = 0
    width: int = 0
    height: int = 0
    rotation: int = 0
    seconds: float = 0.0
    variable_frame_rate: bool = False
    damage: str = ""
    pages: int = 1

    def frames(self, wanted: Callable[[int], bool] = lambda _: True) -> Iterator[RawFrame]:
        """Decode; frames that ``wanted`` says no to (by their index) are passed over without being converted.

        Raises:
            CorruptMediaError: not one frame can be decoded.
            MediaTooLargeError: frames, or their number, over the limits.
        """
        if self.kind == "unreadable":
            raise CorruptMediaError(self.damage)
        if self.kind == "picture":
            if wanted(0):
                picture = open_picture(self.path, max_pixels=MAX_FRAME_PIXELS)
                pixels, self.pages = picture.pixels, picture.frames
                self.height, self.width = pixels.shape[:2]
                yield RawFrame(0, 0.0, pixels)
            return
        yield from self._decode(wanted)

    def _decode(self, wanted: Callable[[int], bool]) -> Iterator[RawFrame]:
        count, times = 0, []
        with _opened(self.path) as (container, stream):
            clock = _Clock(stream)
            # only MP4 and MOV say exactly how many frames they hold
            exact = "mov" in container.format.name
            try:
                for frame in frames_of(container, stream):
                    if count >= MAX_FRAMES:
                        raise MediaTooLargeError(
                            f"{self.path} has more than {MAX_FRAMES} frames", hint="cut it into parts"
                        )
                    if frame.width * frame.height > MAX_FRAME_PIXELS:
                        raise MediaTooLargeError(
                            f"{self.path} has frames of more than {MAX_FRAME_PIXELS} pixels"
                        )
                    moment = clock.time(frame, count)
                    times.append(moment)
                    self.seconds = max(self.seconds, moment)
                    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
                    self.rotation = quarters * 90
                    sides = (frame.height, frame.width)
                    self.height, self.width = sides if quarters % 2 == 0 else sides[::-1]
                    if wanted(count):
                        pixels = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
                        yield RawFrame(count, moment, pixels)
                    count += 1
            except MediaError:
                raise
            except (_av().FFmpegError, OSError, ValueError, MemoryError) as error:
                if not count:
                    raise CorruptMediaError(
                        f"{self.path} cannot be decoded as video: {why(error)}"
                    ) from error
                self.damage = f"decoding ended after {count} frames: {why(error)}"
        if not count:
            raise CorruptMediaError(f"{self.path} holds no frame that can be decoded")
        if not self.damage and exact and self.expected > count:
            self.damage = f"{count} of {self.expected} frames could be decoded"
        gaps = np.diff(np.array(sorted(times)))
        usual = float(np.median(gaps)) if len(gaps) else 0.0
        # two frames in a hundred may be late (a camera's hiccup) without the rate being variable
        self.variable_frame_rate = bool(
            len(gaps) > 2 and (np.abs(gaps - usual) > _UNEVEN * usual).mean() > 0.02
        )

    def to_json(self) -> dict[str, Any]:
        """What ``alignments.json`` says about the source, less its hash."""
        return {
            "path": self.path.name,
            "kind": self.kind,
            "width": self.width,
            "height": self.height,
            "rotation": self.rotation,
            "seconds": round(self.seconds, 6),
            "variable_frame_rate": self.variable_frame_rate,
            "damage": self.damage,
        }


def open_footage(path: Path) -> list[Source]:
    """The sources of a video, a picture, or a folder (walked, sorted by name, what is no picture or video left out).

    Raises:
        MissingPathError: no such path, or a folder without pictures and videos.
        UnknownFormatError: a file that is neither picture nor video.
        CorruptMediaError: the one file that was named cannot be opened as what it says it is.
    """
    if not path.exists():
        raise MissingPathError(f"{path} does not exist")
    if not path.is_dir():
        return [_source(path)]
    sources = []
    for file in sorted(path.rglob("*")):
        if any(part.startswith(".") for part in file.relative_to(path).parts) or not file.is_file():
            continue
        try:
            sources.append(_source(file))
        except UnknownFormatError:
            continue
        except MediaError as error:
            sources.append(Source(file, "unreadable", damage=str(error)))
        if len(sources) > MAX_FILES:
            raise UsageError(
                f"{path} holds more than {MAX_FILES} pictures and videos", hint="name a part of it"
            )
    if not sources:
        raise MissingPathError(f"{path} holds no picture and no video", hint="name a folder of footage")
    return sources


def _source(path: Path) -> Source:
    media = detect_format(path)
    if media.kind == "image":
        return Source(path, "picture", expected=1)
    if media.kind != "video":
        raise UnknownFormatError(
            f"{path} is {media.name}, expected a video or a picture", hint="name other footage"
        )
    with _opened(path) as (_, stream):
        return Source(path, "video", expected=int(stream.frames or 0))


def _av() -> Any:
    import av

    return av


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream.

    Raises:
        CorruptMediaError: it cannot be opened, has no video track, or an unknown codec.
        MediaTooLargeError: frames over the limit.
    """
    av = _av()
    try:
        container = av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CorruptMediaError(f"{path} cannot be opened as video: {why(error)}") from error
    with container:
        moving = moving_pictures(container)
        if not moving:
            raise CorruptMediaError(f"{path} has no video track", hint="name footage that shows a face")
        stream = moving[0]
        codec = stream.codec_context
        if codec is None:
            raise CorruptMediaError(
                f"{path} names a video codec that nothing here decodes", hint="convert it"
            )
        if codec.width * codec.height > MAX_FRAME_PIXELS:
            raise MediaTooLargeError(f"{path} has frames of more than {MAX_FRAME_PIXELS} pixels")
        stream.thread_type = "AUTO"
        yield container, stream


class _Clock:
    """Times of frames in seconds from the first one: the container's own, whatever its frame rate."""

    def __init__(self, stream: Any) -> None:
        self._base = stream.time_base or Fraction(1, 1000)
        self._rate = float(stream.average_rate or 25)
        self._origin: int | None = None

    def time(self, frame: Any, index: int) -> float:
        if frame.pts is None:
            return index / self._rate
        self._origin = frame.pts if self._origin is None else self._origin
        return max(0.0, float((frame.pts - self._origin) * self._base))
