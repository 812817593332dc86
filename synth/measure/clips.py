"""Reading and writing the clips and pictures of an experiment. Nothing here is generated."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from provenance.errors import CorruptMediaError
from synth.extraction.footage import open_footage
from synth.measure.conditions import Pixels


def frames_of(path: Path) -> Iterator[Pixels]:
    """Frames of a clip, or the one picture."""
    for raw in open_footage(path)[0].frames():
        yield raw.pixels


def write_clip(path: Path, frames: Iterator[Pixels], rate: Fraction, crf: int) -> int:
    """Encode frames of one size as H.264 in MP4; returns how many.

    Raises:
        CorruptMediaError: no frame, or frames of different sizes.
    """
    return _encode(path, frames, rate, "libx264", "yuv420p", {"crf": str(crf), "preset": "medium"})


def write_lossless(path: Path, frames: Iterator[Pixels], rate: Fraction) -> int:
    """Encode frames of one size in RGB without any loss; returns how many.

    Raises:
        CorruptMediaError: no frame, or frames of different sizes.
    """
    return _encode(path, frames, rate, "libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"})


def write_clip_whole(path: Path, frames: Iterator[Pixels], rate: Fraction, crf: int) -> None:
    """As :func:`write_clip`, under a temporary name first, so that a clip that exists is complete."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    write_clip(partial, frames, rate, crf)
    partial.replace(path)


def write_pictures(folder: Path, frames: Iterator[Pixels]) -> int:
    """Frames as PNG files, named by their number; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, pixels in enumerate(frames, 1):
        good, data = cv2.imencode(
            ".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
        )
        if good:
            (folder / f"{count - 1:06d}.png").write_bytes(data.tobytes())
    return count


def _encode(
    path: Path, frames: Iterator[Pixels], rate: Fraction, codec: str, layout: str, options: dict[str, str]
) -> int:
    import av

    count, shape = 0, None
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        for pixels in frames:
            if shape is None:
                shape = pixels.shape
                stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], layout
            elif pixels.shape != shape:
                raise CorruptMediaError(
                    f"frame {count} changes its size from {shape[:2]} to {pixels.shape[:2]}"
                )
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(stream.encode(frame))
            count += 1
        if not count:
            raise CorruptMediaError("there is no frame to encode")
        container.mux(stream.encode(None))
    return count
