"""Frames and a sound become a video: H.264 and AAC, in step. It is not labelled yet, and lies in a quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloak.video.write import container_for
from provenance.errors import NotWritableError, UsageError
from provenance.media.decoding import frames_of
from synth.quarantine import Unlabelled

_CRF, _SPEED = "17", "medium"
_SOUND_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_BITS, _PATIENCE = 192_000, 10.0
_BT709 = 1


class Film:
    """An open video; leaving the ``with`` block completes it.

    Args:
        made: where to write; its suffix names the container (.mp4, .m4v, .mov, .mkv).
        size: width and height, pixels.
        rate: frames a second.
        sound: its file; the first track is decoded and encoded anew, from time 0. None for a silent film.
        seconds: of the sound that are taken.

    Raises:
        UsageError: another container, or no encoder. NotWritableError: the file cannot be written.
    """

    def __init__(
        self, made: Unlabelled, size: tuple[int, int], rate: Fraction, sound: Path | None, seconds: float
    ) -> None:
        import av
        from av.codec.codec import UnknownCodecError

        self.made, path = made, made.path
        name = container_for(path)
        try:
            path.open("wb").close()  # the muxer opens it late
            self._out = av.open(
                str(path), "w", format=name, options={} if name == "matroska" else {"movflags": "+faststart"}
            )
            self._video: Any = self._out.add_stream(
                "libx264", rate=rate, options={"crf": _CRF, "preset": _SPEED}
            )
        except UnknownCodecError as error:
            raise UsageError(
                "this build of PyAV has no x264 encoder", hint="install PyAV's own wheel: pip install av"
            ) from error
        except (av.FFmpegError, OSError) as error:
            raise NotWritableError(f"cannot write {path}: {error}") from error
        self._video.width, self._video.height = size
        halved = size[0] % 2 == 0 and size[1] % 2 == 0
        self._video.pix_fmt = "yuv420p" if halved else "yuv444p"
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1
        self._voice: Any = None
        self._pieces: Iterator[Any] = iter(())
        if sound is not None:
            self._pieces = self._sound(sound, seconds)
        self._waiting: Any = None
        self._abandoned = False
        self._rate, self._count = rate, 0

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        try:
            if kind is None and not self._abandoned:
                self._out.mux(self._video.encode(None))
                self._speak(None)
                if self._voice is not None:
                    self._out.mux(self._voice.encode(None))
        except (av.FFmpegError, OSError) as problem:
            raise NotWritableError(f"cannot finish the video: {problem}") from problem
        finally:
            self._out.close()

    def abandon(self) -> None:
        """Close without completing."""
        self._abandoned = True

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 ``(H, W, 3)``."""
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format=self._video.pix_fmt, dst_colorspace=_BT709, dst_color_range=1)
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._count += 1
        try:
            self._out.mux(self._video.encode(frame))
            self._speak(self._count / float(self._rate))
        except (av.FFmpegError, OSError) as error:
            raise NotWritableError(f"cannot write the video: {error}") from error

    def _speak(self, until: float | None) -> None:
        """Encode the sound that starts before ``until`` seconds; all that is left where it is None."""
        while self._voice is not None:
            piece = self._waiting if self._waiting is not None else next(self._pieces, None)
            self._waiting = piece
            if piece is None or (until is not None and float(piece.pts * piece.time_base) > until):
                return
            self._out.mux(self._voice.encode(piece))
            self._waiting = None

    def _sound(self, path: Path, seconds: float) -> Iterator[Any]:
        import av

        with av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore") as source:
            stream = source.streams.audio[0]
            rate = int(stream.rate or 48_000)
            rate = rate if rate in _SOUND_RATES else 48_000
            layout = "mono" if stream.channels == 1 else "stereo"
        self._voice = self._out.add_stream("aac", rate=rate, layout=layout)
        self._voice.bit_rate = _BITS if layout == "stereo" else _BITS // 2
        return _pieces(path, rate, layout, seconds)


def _pieces(path: Path, rate: int, layout: str, seconds: float) -> Iterator[Any]:
    """Sound in pieces of 1024 samples from time 0 on: what comes before is left out, what is missing is silent."""
    import av

    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    channels = 1 if layout == "mono" else 2
    total, made = round(seconds * rate), 0
    held = np.zeros((channels, 0), np.float32)
    begun = False
    with av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore") as source:
        decoded: Iterator[Any] = frames_of(source, source.streams.audio[0])
        for frame in _then_none(decoded):
            late = 0
            if not begun and frame is not None:
                late, begun = round(min(max(float(frame.time or 0.0), -1.0), 60.0) * rate), True
                held = np.zeros((channels, max(0, late)), np.float32)
            for piece in resampler.resample(frame):
                held = np.concatenate([held, piece.to_ndarray()], axis=1)
            if late < 0:
                held = held[:, -late:]
            while held.shape[1] >= 1024 and made < total:
                yield _piece(held[:, : min(1024, total - made)], rate, layout, made)
                made, held = made + 1024, held[:, 1024:]
            if made >= total:
                return
        if held.shape[1] and made < total:
            yield _piece(held[:, : total - made], rate, layout, made)


def _then_none(decoded: Iterator[Any]) -> Iterator[Any]:
    """Frames, then None, which flushes the resampler."""
    yield from decoded
    yield None


def _piece(samples: NDArray[np.float32], rate: int, layout: str, start: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame
