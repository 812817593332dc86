"""Tiny real files of every format that veilmark knows, made by real encoders."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin


def gradient(width: int = 64, height: int = 48, shift: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    planes = (rows * 5 + shift, columns * 4, (rows * columns) // 8 + shift)
    return (np.stack(planes, axis=2) % 256).astype(np.uint8)


def _picture(form: str, **options: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(gradient()).save(path, form, **options)


def _heic(path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the development package pillow-heif")
    heif.from_pillow(Image.fromarray(gradient())).save(path)


def _dng(path: Path) -> None:
    """A DNG as cameras write its first directory: a preview, the version and the camera's name."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706], tags.tagtype[50706] = bytes((1, 4, 0, 0)), 1
    tags[50707], tags.tagtype[50707] = bytes((1, 1, 0, 0)), 1
    tags[50708], tags.tagtype[50708] = "Example Camera", 2
    Image.fromarray(gradient()).save(path, "TIFF", tiffinfo=tags)


def _gif(path: Path) -> None:
    frames = [Image.fromarray(gradient(shift=20 * index)) for index in range(3)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=50)


def _film(container: str, codec: str, pixels: str = "yuv420p") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        av = pytest.importorskip("av", reason="needs the development package av (PyAV)")
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            for index in range(6):
                frame = av.VideoFrame.from_ndarray(gradient(shift=9 * index), format="rgb24")
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))

    return make


def _sound(container: str, codec: str, sample: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        av = pytest.importorskip("av", reason="needs the development package av (PyAV)")
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream(codec, rate=48_000)
            tone = (np.sin(np.arange(24_000) / 20) * 9000).astype(np.int16)[None, :]
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate = 48_000
            stream.layout, stream.format = "mono", sample
            for packet in stream.encode(frame) + stream.encode(None):
                output.mux(packet)

    return make


def _wav(path: Path) -> None:
    with wave.open(str(path), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(16_000)
        output.writeframes((np.sin(np.arange(8_000) / 9) * 9000).astype("<i2").tobytes())


MAKERS: dict[str, Callable[[Path], None]] = {
    "JPEG": _picture("JPEG", quality=90),
    "PNG": _picture("PNG"),
    "WebP": _picture("WEBP", quality=80),
    "TIFF": _picture("TIFF"),
    "GIF": _gif,
    "AVIF": _picture("AVIF", quality=80),
    "HEIC": _heic,
    "DNG": _dng,
    "BMP": _picture("BMP"),
    "MP4": _film("mp4", "mpeg4"),
    "MOV": _film("mov", "mpeg4"),
    "AVI": _film("avi", "mpeg4"),
    "WebM": _film("webm", "libvpx"),
    "MKV": _film("matroska", "mpeg4"),
    "M4A": _sound("ipod", "aac", "fltp"),
    "MP3": _sound("mp3", "libmp3lame", "s16p"),
    "WAV": _wav,
    "FLAC": _sound("flac", "flac", "s16"),
    "OGG": _sound("ogg", "libopus", "s16"),
    "PDF": _picture("PDF"),
}


def make_fragments(folder: Path) -> None:
    """A film as DASH serves it: ``init-stream0.m4s`` and six fragments, ``chunk-stream0-00001.m4s`` and so on."""
    av = pytest.importorskip("av", reason="needs the development package av (PyAV)")
    with av.open(str(folder / "film.mpd"), "w", format="dash", options={"seg_duration": "0.5"}) as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 5
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(gradient(shift=3 * index), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
