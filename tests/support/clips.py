"""Clips made from pictures: a picture that moves, as a camera would film it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np


def moved(
    pixels: np.ndarray, turn: float, zoom: float, dx: float, dy: float, size: tuple[int, int]
) -> np.ndarray:
    """The picture turned by degrees, scaled and shifted about its middle, as ``(height, width, 3)`` of ``size``."""
    width, height = size
    matrix = cv2.getRotationMatrix2D((pixels.shape[1] / 2, pixels.shape[0] / 2), turn, zoom)
    matrix[:, 2] += (width / 2 - pixels.shape[1] / 2 + dx, height / 2 - pixels.shape[0] / 2 + dy)
    return cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def wandering(pixels: np.ndarray, count: int, size: tuple[int, int] = (320, 320)) -> list[np.ndarray]:
    """``count`` frames in which the picture turns, nears and drifts, each one different."""
    longest = max(pixels.shape[:2])
    frames = []
    for step in range(count):
        phase = 2 * np.pi * step / max(count, 8)
        zoom = max(size) / longest * (1.0 + 0.12 * np.sin(phase))
        frames.append(
            moved(pixels, 9 * np.sin(phase + 1), zoom, 8 * np.cos(phase), 6 * np.sin(2 * phase), size)
        )
    return frames


def film(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: int = 25,
    times: Sequence[float] | None = None,
    rotation: int = 0,
    tone: bool = False,
    codec: str = "libx264",
    each: Callable[[int], None] | None = None,
) -> Path:
    """Encode frames ``(H, W, 3)`` uint8 RGB as a video.

    Args:
        times: of the frames in seconds, for a variable frame rate.
        rotation: degrees that a player has to turn the frames by, as a phone writes it.
        tone: add a second of sound.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, 12_800)
        stream.codec_context.time_base = Fraction(1, 12_800)
        stream.codec_context.options = {"crf": "14", "preset": "ultrafast"} if codec == "libx264" else {}
        if codec != "libx264":
            stream.bit_rate = 4_000_000
        sound = container.add_stream("aac", rate=16_000) if tone else None
        for place, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            moment = times[place] if times is not None else place / rate
            frame.pts, frame.time_base = round(moment * 12_800), Fraction(1, 12_800)
            container.mux(stream.encode(frame))
            if each:
                each(place)
        container.mux(stream.encode())
        if sound is not None:
            wave = (np.sin(np.arange(16_000) * 0.17) * 8000).astype(np.int16)[None]
            chunk = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            chunk.sample_rate = 16_000
            container.mux(sound.encode(chunk))
            container.mux(sound.encode())
    if rotation:
        _turn(path, rotation)
    return path


def _turn(path: Path, degrees: int) -> None:
    """Write a rotation into the display matrix of an MP4's only video track (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4
    matrix = place + (40 if data[place] == 0 else 52)
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    values = (cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    for index, value in enumerate(values):
        data[matrix + 4 * index : matrix + 4 * index + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
