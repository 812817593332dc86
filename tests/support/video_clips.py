"""Small films made from the public-domain portraits, for the tests of videos."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np


def panned(portrait: np.ndarray, count: int, side: int = 160) -> list[np.ndarray]:
    """Frames in which the window moves over Eileen Collins' face and comes nearer, uint8 ``(side, side, 3)``."""
    result = []
    for number in range(count):
        left, top, size = 84 + 1.5 * number, 2 + 0.7 * number, 256 - 1.2 * number
        turn = np.array([[side / size, 0, -left * side / size], [0, side / size, -top * side / size]])
        result.append(cv2.warpAffine(portrait, turn, (side, side), flags=cv2.INTER_AREA))
    return result


def write_clip(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    ticks: int = 600,
    rate: int = 25,
    sound: bool | str = False,
    turned: int = 0,
    codec: str = "libx264",
    layout: str = "yuv420p",
    crf: int = 12,
    metadata: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    colour: tuple[int, int, int, int] = (1, 1, 1, 1),
) -> Path:
    """Encode frames, each shown at its time in ticks of ``1/ticks`` s; ``turned`` is a display rotation in degrees."""
    times = times or [round(number * ticks / rate) for number in range(len(pictures))]
    steps = [*np.diff(times).tolist(), round(ticks / rate)]
    options = {"movflags": "+use_metadata_tags"} if metadata and path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as out:
        out.metadata.update(metadata or {})
        stream = _stream(out, codec, rate, pictures[0].shape, layout, crf, Fraction(1, ticks))
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = colour
        if aspect:
            context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(turned)
        voice = out.add_stream("aac" if sound is True else sound, rate=44_100) if sound else None
        for picture, time, step in zip(pictures, times, steps, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=layout, dst_colorspace=colour[1], dst_color_range=colour[0])
            frame.pts, frame.time_base, frame.duration = time, Fraction(1, ticks), step
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None:
            tone = np.sin(np.arange(44_100 * (times[-1] + steps[-1]) // ticks) * 0.06).astype(np.float32)
            part = av.AudioFrame.from_ndarray(0.3 * tone[None], format="fltp", layout="mono")
            part.sample_rate, part.pts = 44_100, 0
            for piece in (part, None):
                out.mux(voice.encode(piece))
    return path


def _stream(
    out: Any, codec: str, rate: int, shape: tuple[int, ...], layout: str, crf: int, base: Fraction
) -> Any:
    chosen = {"crf": str(crf), "preset": "fast", "flags": "+frame_duration"} if codec == "libx264" else {}
    stream = out.add_stream(codec, rate=rate, options=chosen)
    stream.width, stream.height, stream.pix_fmt = shape[1], shape[0], layout
    stream.codec_context.time_base = base if codec == "libx264" else Fraction(1, rate)
    return stream


def packets(path: Path, kind: str) -> list[tuple[int, int | None, bytes]]:
    """Time, duration and bytes of each packet of the first stream of a kind, in the order of their times."""
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        found = [(p.pts, p.duration, bytes(p)) for p in container.demux(stream) if p.dts is not None]
    return sorted(found, key=lambda packet: packet[0])
