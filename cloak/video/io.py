"""Reading a video: what it is, and its frames, upright and one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from provenance.errors import CorruptMediaError, MediaTooLargeError
from provenance.media.decoding import damage_of, frames_of, moving_pictures, why
from provenance.media.formats import detect_format

#: 8K, both as television and as cinema have it.
MAX_PIXELS = 8192 * 4320
#: About an hour at 60 frames a second.
MAX_FRAMES = 216_000
_TIMEOUT_SECONDS = 10.0
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True)
class VideoInfo:
    """What is kept of a video besides its pixels.

    Attributes:
        path: the file.
        format: its container's name, such as ``MP4``.
        codec: of the picture, such as ``h264``.
        size: width and height as coded, in pixels.
        turns: counter-clockwise quarter turns that make a coded frame upright.
        matrix: the nine numbers of the display matrix, or None.
        time_base: seconds per tick of the frames' times.
        rate: frames a second, on average.
        pix_fmt: the coded pixels' layout.
        colour: range, matrix, primaries and transfer, as FFmpeg numbers them.
        aspect: of a pixel; 1 for square ones.
        end: when the last frame ends, in ticks; None where the container does not say.
        interlaced: its frames are made of two half pictures.
        sound: indices of the sound streams.
        subtitles: indices of the text streams.
        metadata: of the whole file.
        grey: its frames are to be taken without their colours.
    """

    path: Path
    format: str
    codec: str
    size: tuple[int, int]
    turns: int
    matrix: tuple[int, ...] | None
    time_base: Fraction
    rate: Fraction
    pix_fmt: str
    colour: tuple[int, int, int, int]
    aspect: Fraction
    end: int | None = None
    interlaced: bool = False
    sound: tuple[int, ...] = ()
    subtitles: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    grey: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        return self.size if self.turns % 2 == 0 else (self.size[1], self.size[0])

    @property
    def full_range(self) -> bool:
        """Luma goes from 0 to 255, not from 16 to 235."""
        return self.pix_fmt.startswith("yuvj") or self.colour[0] == 2

    @property
    def layout(self) -> str:
        """The layout of pixels it is written with: eight bits; chroma is halved where the size allows."""
        halved = self.size[0] % 2 == 0 and self.size[1] % 2 == 0
        if self.pix_fmt.startswith("yuvj"):
            return "yuvj420p" if halved else "yuvj444p"
        return "yuv420p" if halved else "yuv444p"


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: counted from 0.
        pts: its time in ticks, rising.
        duration: until the next frame, or the end, in ticks.
        coded: PyAV's frame.
        turns: as in :class:`VideoInfo`.
    """

    index: int
    pts: int
    duration: int
    coded: Any
    turns: int

    def rgb(self) -> np.ndarray:
        """uint8 ``(H, W, 3)``, upright."""
        return np.ascontiguousarray(np.rot90(self.coded.to_ndarray(format="rgb24"), self.turns))

    def luma(self, width: int) -> np.ndarray:
        """uint8 ``(h, width)``, a small grey version as it is coded."""
        height = max(2, round(self.coded.height * width / self.coded.width))
        small = self.coded.reformat(width=width, height=height, format="gray", interpolation="AREA")
        return np.asarray(small.to_ndarray())


def probe(path: Path) -> VideoInfo:
    """Open a video and decode its first frame.

    Raises:
        MissingPathError, UnknownFormatError: no such file, or no known format.
        CorruptMediaError: it holds no moving picture, or none that can be decoded.
        MediaTooLargeError: frames of more than 8K.
    """
    import av

    kind = detect_format(path)
    if kind.kind != "video":
        raise CorruptMediaError(
            f"{path.name} is {kind.name}, which holds no moving picture", hint="name a video file"
        )
    try:
        with _opened(path) as container:
            stream = _picture_stream(container, path)
            first = next(frames_of(container, stream), None)
            if first is None:
                raise CorruptMediaError(f"{path.name} holds no frame that can be decoded")
            context = stream.codec_context
            return VideoInfo(
                path=path,
                format=kind.name,
                codec=context.name,
                size=(first.width, first.height),
                turns=round(first.rotation / 90) % 4,
                matrix=_matrix(first),
                time_base=stream.time_base or Fraction(1, 90_000),
                rate=_plausible(stream.average_rate or stream.guessed_rate),
                pix_fmt=first.format.name,
                colour=(
                    int(context.color_range),
                    int(context.colorspace),
                    int(context.color_primaries),
                    int(context.color_trc),
                ),
                aspect=stream.sample_aspect_ratio or Fraction(1),
                end=_end(stream),
                interlaced=bool(first.interlaced_frame),
                sound=tuple(one.index for one in container.streams.audio if one.codec_context is not None),
                subtitles=tuple(one.index for one in container.streams.subtitles),
                metadata=dict(container.metadata),
            )
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise CorruptMediaError(f"{path.name} cannot be decoded as video: {why(error)}") from error


def _end(stream: Any) -> int | None:
    """When the last frame ends, in ticks; Matroska says so in a tag, as ``HH:MM:SS.fraction``."""
    if stream.duration:
        return int(stream.duration + (stream.start_time or 0))
    match = re.fullmatch(r"(\d{1,3}):(\d\d):(\d\d(?:\.\d{1,9})?)", stream.metadata.get("DURATION", ""))
    if match is None or not stream.time_base:
        return None
    hours, minutes, seconds = match.groups()
    time = 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    return round(time / stream.time_base) or None


def frames(info: VideoInfo) -> Iterator[Frame]:
    """Every frame, in the order in which they are shown.

    Raises:
        CorruptMediaError: frames change their size, or nothing can be decoded.
        MediaTooLargeError: more than :data:`MAX_FRAMES` frames.
    """
    import av

    nominal = max(1, round(1 / (info.rate * info.time_base)))
    pending: tuple[int, int, Any] | None = None
    try:
        with _opened(info.path) as container:
            stream = _picture_stream(container, info.path)
            stream.thread_type = "AUTO"
            for index, coded in enumerate(frames_of(container, stream)):
                if index >= MAX_FRAMES:
                    raise MediaTooLargeError(
                        f"{info.path.name} has more than {MAX_FRAMES} frames", hint="cut it into parts"
                    )
                if (coded.width, coded.height) != info.size:
                    raise CorruptMediaError(
                        f"{info.path.name} changes its size from {info.size[0]} x {info.size[1]} to "
                        f"{coded.width} x {coded.height} at frame {index}",
                        hint="cut it where it changes, or scale it to one size",
                    )
                pts = coded.pts
                if pts is None or (pending is not None and pts <= pending[1]):
                    pts = 0 if pending is None else pending[1] + nominal
                if pending is not None:
                    yield _frame(info, *pending, pts - pending[1])
                pending = (index, pts, coded)
            if pending is not None:
                rest = nominal if info.end is None else info.end - pending[1]
                rest = rest if 0 < rest <= 100 * nominal else nominal
                yield _frame(info, *pending, rest)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise CorruptMediaError(f"{info.path.name} cannot be decoded as video: {why(error)}") from error


def _frame(info: VideoInfo, index: int, pts: int, coded: Any, duration: int) -> Frame:
    return Frame(index, pts, duration, _without_colour(coded, info) if info.grey else coded, info.turns)


def _without_colour(coded: Any, info: VideoInfo) -> Any:
    """The frame in the layout that it is written in, its colours neutral."""
    import av

    planes = np.array(coded.reformat(format=info.layout).to_ndarray())
    if planes.ndim == 3:
        planes[1:] = 128
    else:
        planes[coded.height :] = 128
    grey = av.VideoFrame.from_ndarray(planes, format=info.layout)
    grey.color_range, grey.colorspace = coded.color_range, coded.colorspace
    return grey


def expected_frames(info: VideoInfo) -> int:
    """How many frames there may be, as the container says; at least 1."""
    with _opened(info.path) as container:
        stream = _picture_stream(container, info.path)
        return int(stream.frames or float(info.rate) * (container.duration or 0) / 1e6) or 1


def damaged_frames(info: VideoInfo) -> int:
    """How many frames are missing, or made up in part by the decoder, since the file is damaged there."""
    with _opened(info.path) as container:
        stream = _picture_stream(container, info.path)
        stream.thread_type = "AUTO"
        return damage_of(container, stream)


def picture_bytes(path: Path) -> int:
    """The size of the coded picture, without sound and container."""
    with _opened(path) as container:
        return sum(packet.size for packet in container.demux(_picture_stream(container, path)))


def _opened(path: Path) -> Any:
    import av

    return av.open(str(path), timeout=(_TIMEOUT_SECONDS, _TIMEOUT_SECONDS), metadata_errors="ignore")


def _picture_stream(container: Any, path: Path) -> Any:
    """The first moving picture; covers and previews are not."""
    moving = moving_pictures(container)
    if not moving:
        raise CorruptMediaError(
            f"{path.name} has no video track", hint="sound has no faces; sign it instead of cloaking it"
        )
    stream = moving[0]
    if stream.codec_context is None:
        raise CorruptMediaError(f"{path.name} names a video codec that nothing here decodes")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise MediaTooLargeError(
            f"{path.name} has frames of {width} x {height}, over the limit of {MAX_PIXELS} pixels (8K)",
            hint="scale it down first",
        )
    return stream


def _matrix(frame: Any) -> tuple[int, ...] | None:
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    numbers = np.frombuffer(bytes(data), dtype=np.int32)
    return tuple(int(number) for number in numbers) if len(numbers) == 9 else None


def _plausible(rate: Fraction | None) -> Fraction:
    return rate if rate is not None and Fraction(1, 10) <= rate <= 1000 else _DEFAULT_RATE
