"""Writing a video: frames with noise as H.264, and everything else as it was.

The encoder is x264 inside PyAV's FFmpeg. PyAV is BSD-licensed; its binary wheels carry x264, which is GPL-2.0-or-later,
as a separate shared library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cloak.video.io import Frame, VideoInfo
from provenance.errors import NotWritableError, UsageError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: What is said about the film; nothing else of the metadata is taken over.
_KEPT_TAGS = ("title", "artist", "author", "album", "copyright", "comment", "description", "genre", "date")
_TIME_TAGS = ("creation_time", "com.apple.quicktime.creationdate")
_LOCATION_TAGS = ("location", "location-eng", "com.apple.quicktime.location.iso6709")
# by the names of the codecs and of their decoders, which differ
_TEXT_CODECS = {
    "mp4": ("mov_text",),
    "mov": ("mov_text",),
    "matroska": ("subrip", "srt", "ass", "ssa", "webvtt"),
}
#: What FFmpeg takes so many channels for.
_DEFAULT_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# luma weights of red and blue, by FFmpeg's number of the matrix (ITU-R BT.601, BT.709, BT.2020)
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)


def container_for(path: Path) -> str:
    """FFmpeg's name of the container that a file name asks for.

    Raises:
        UsageError: none that can hold H.264 with any sound.
    """
    name = CONTAINERS.get(path.suffix.lower())
    if name is None:
        raise UsageError(
            f"cannot write {path.suffix or path.name!r}: the result is H.264",
            hint=f"end the output in one of {', '.join(CONTAINERS)}",
        )
    return name


class Writer:
    """An open video file; leaving the ``with`` block completes it.

    Args:
        path: where to write; its suffix names the container.
        info: the video it is made from; sound, times, turning and colour come from it.
        keep_gps: also keep the place in the metadata.
        bare: without sound and text, for versions that are only judged.

    Raises:
        UsageError: no encoder, or the container cannot hold the sound.
        NotWritableError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        crf: int,
        preset: str,
        keep_gps: bool = False,
        bare: bool = False,
    ) -> None:
        import av

        name = container_for(path)
        self.info = info
        try:
            self._out = av.open(
                str(path), "w", format=name, options={} if name == "matroska" else {"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            raise NotWritableError(f"cannot write {path}: {error}") from error
        self._video = self._encoder(crf, preset)
        self._others: Iterator[Any] = iter(())
        self._waiting: Any = None
        if not bare:
            self._describe(keep_gps)
            self._others = self._copied_packets(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        try:
            if kind is None:
                self._out.mux(self._video.encode(None))
                self._copy_until(None)
                self._out.close()
        except (av.FFmpegError, OSError) as problem:
            raise NotWritableError(f"cannot finish the video: {problem}") from problem
        finally:
            self.abandon()

    def begin(self) -> None:
        """Write the header; otherwise the first frame does."""
        self._out.start_encoding()

    def abandon(self) -> None:
        """Close without completing."""
        import av

        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._out.close()

    def write(self, frame: Frame, noise: np.ndarray | None, *, chroma: bool = True) -> None:
        """Append a frame.

        Args:
            frame: of the source.
            noise: signed integers ``(H, W, 3)``, upright, in levels of 255; None for none. Pixels without noise keep
                their exact luma and chroma.
            chroma: noise changes colours, too; otherwise they are exactly the source's.
        """
        import av

        coded = frame.coded
        layout = self.info.layout
        if coded.format.name != layout:
            coded = coded.reformat(format=layout)
        planes = np.array(coded.to_ndarray())
        if noise is not None and noise.any():
            _add_noise(planes, np.rot90(noise, -self.info.turns), self.info, chroma=chroma)
        ready = av.VideoFrame.from_ndarray(planes, format=layout)
        ready.pts, ready.time_base = frame.pts, self.info.time_base
        ready.duration = frame.duration
        ready.color_range, ready.colorspace = frame.coded.color_range, frame.coded.colorspace
        try:
            self._out.mux(self._video.encode(ready))
            self._copy_until(frame.pts * self.info.time_base)
        except (av.FFmpegError, OSError) as error:
            raise NotWritableError(f"cannot write the video: {error}") from error

    def _encoder(self, crf: int, preset: str) -> Any:
        from av.codec.codec import UnknownCodecError

        info = self.info
        options = {"crf": str(crf), "preset": preset, "flags": "+frame_duration"}
        try:
            stream = self._out.add_stream("libx264", rate=info.rate, options=options)
        except UnknownCodecError as error:
            raise UsageError(
                "this build of PyAV has no x264 encoder", hint="install PyAV's own wheel: pip install av"
            ) from error
        stream.width, stream.height = info.size
        stream.pix_fmt = info.layout
        stream.time_base = info.time_base
        context = stream.codec_context
        context.time_base = info.time_base
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = info.colour
        if info.aspect != 1:
            context.sample_aspect_ratio = info.aspect
        if info.matrix is not None:
            stream.set_display_matrix(info.matrix)
        return stream

    def _describe(self, keep_gps: bool) -> None:
        kept = (*_KEPT_TAGS, *_TIME_TAGS, *(_LOCATION_TAGS if keep_gps else ()))
        for key, value in self.info.metadata.items():
            if key.lower() in kept:
                self._out.metadata[key] = value

    def _copied_packets(self, container: str) -> Iterator[Any]:
        """Packets of sound and text, in the order in which they lie in the source, on their new streams."""
        import av

        source = av.open(str(self.info.path), metadata_errors="ignore")
        targets = {}
        for index in (*self.info.sound, *self.info.subtitles):
            stream = source.streams[index]
            if not _can_hold(container, stream):
                continue
            try:
                targets[index] = self._out.add_stream_from_template(stream, opaque=True)
            except (av.FFmpegError, ValueError) as error:
                source.close()
                raise UsageError(
                    f"{container} cannot hold {stream.codec_context.name} sound",
                    hint="end the output in .mkv",
                ) from error
            if stream.type == "audio":
                _name_channels(targets[index].codec_context)
            if stream.language:
                targets[index].metadata["language"] = stream.language
        return _packets(source, targets)

    def _copy_until(self, time: Fraction | None) -> None:
        """Copy packets that start no later than ``time``; all that are left where it is None."""
        while True:
            packet = self._waiting if self._waiting is not None else next(self._others, None)
            self._waiting = packet
            if packet is None or (time is not None and packet.dts * packet.time_base > time):
                return
            self._out.mux(packet)
            self._waiting = None


def check_container(info: VideoInfo, suffix: str, folder: Path) -> None:
    """Find out before long work whether a container takes this video and its sound.

    Args:
        suffix: of the output.
        folder: where a small file can be written for a moment.

    Raises:
        UsageError: it does not, or there is no encoder.
    """
    import av

    path = folder / f"version-rehearsal{suffix}"
    writer = Writer(path, info, crf=20, preset="ultrafast")
    try:
        writer.begin()
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"{suffix} cannot hold this video's sound: {error}", hint="end the output in .mkv"
        ) from error
    finally:
        writer.abandon()
        path.unlink(missing_ok=True)


def dropped_subtitles(info: VideoInfo, path: Path) -> tuple[str, ...]:
    """The codecs of the subtitles that the container of ``path`` cannot take over."""
    import av

    container = container_for(path)
    with av.open(str(info.path), metadata_errors="ignore") as source:
        streams = [source.streams[index] for index in info.subtitles]
        return tuple(
            one.codec_context.name if one.codec_context is not None else "unknown"
            for one in streams
            if not _can_hold(container, one)
        )


def _can_hold(container: str, stream: Any) -> bool:
    if stream.type != "subtitle":
        return True
    return stream.codec_context is not None and stream.codec_context.name in _TEXT_CODECS[container]


def _name_channels(context: Any) -> None:
    """Many AVI and WAV files do not say which channel is which; FFmpeg's MP4 takes PCM only where it is said. So its
    usual order is said, which players take it for anyway.
    """
    if context.layout.name == f"{context.layout.nb_channels} channels":
        context.layout = _DEFAULT_LAYOUTS.get(context.layout.nb_channels, context.layout.name)


def _packets(source: Any, targets: dict[int, Any]) -> Iterator[Any]:
    with source:
        if not targets:
            return
        for packet in source.demux([source.streams[index] for index in targets]):
            if packet.dts is not None:
                packet.stream = targets[packet.stream_index]
                yield packet


def _add_noise(planes: np.ndarray, noise: np.ndarray, info: VideoInfo, *, chroma: bool = True) -> None:
    """Add RGB noise, as coded, to packed planes of YUV 4:2:0 or 4:4:4, in place; without ``chroma`` to luma alone."""
    width, height = info.size
    rows, columns = np.flatnonzero(noise.any((1, 2))), np.flatnonzero(noise.any((0, 2)))
    top, bottom = int(rows[0]) // 2 * 2, min(height, int(rows[-1]) // 2 * 2 + 2)
    left, right = int(columns[0]) // 2 * 2, min(width, int(columns[-1]) // 2 * 2 + 2)
    part = noise[top:bottom, left:right].astype(np.float32)
    red, blue = _LUMA_WEIGHTS.get(info.colour[1], _BT601)
    luma = part @ np.array([red, 1 - red - blue, blue], np.float32)
    colours = [(part[..., 2] - luma) / (2 * (1 - blue)), (part[..., 0] - luma) / (2 * (1 - red))]
    lowest, highest = 0, 255
    if not info.full_range:
        luma, colours = luma * (219 / 255), [one * (224 / 255) for one in colours]
        lowest, highest = 16, 235
    if planes.ndim == 3:
        changes = (luma, *(colours if chroma else ()))
        for plane, change in zip(planes, changes, strict=False):
            _add_clipped(plane[top:bottom, left:right], change, lowest, highest)
        return
    _add_clipped(planes[:height][top:bottom, left:right], luma, lowest, highest)
    if not chroma:
        return
    half = (height // 2, width // 2)
    packed = planes[height:].reshape(2, *half)
    for plane, change in zip(packed, colours, strict=True):
        halved = change.reshape(change.shape[0] // 2, 2, change.shape[1] // 2, 2).mean((1, 3))
        part_of = plane[top // 2 : bottom // 2, left // 2 : right // 2]
        _add_clipped(part_of, halved, 0 if lowest == 0 else 16, 255 if lowest == 0 else 240)


def _add_clipped(plane: np.ndarray, change: np.ndarray, lowest: int, highest: int) -> None:
    """Add, without leaving the legal range further than the plane did before."""
    low, high = np.minimum(plane, lowest), np.maximum(plane, highest)
    plane[...] = np.clip(np.rint(plane + change), low, high).astype(np.uint8)
