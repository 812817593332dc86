"""From a camera (or a stream, or a film) to a signed file: no unsigned picture ever gets the final name."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CheckError, CorruptMediaError, MissingPathError, NotWritableError, UsageError
from provenance.media.formats import FORMATS, Format
from provenance.media.picture import Picture, encode_picture
from provenance.record import now_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

Result = TypeVar("Result")
MAX_SECONDS = 24 * 3600.0
#: A webcam needs some frames to settle its exposure.
WARM_UP_FRAMES = 5
_DEFAULT_RATE = 25.0
_PHOTO_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".tif": "TIFF",
    ".avif": "AVIF",
}


@dataclass(frozen=True)
class Capture:
    """What was captured, still under a temporary name.

    Attributes:
        path: the unsigned file; it is gone when the capture ends.
        media: its format.
        captured_at: RFC 3339 UTC, this machine's clock, at the first frame.
        source: the device, file or address it came from.
        size: width and height in pixels.
        frames: 1 for a photo.
    """

    path: Path
    media: Format
    captured_at: str
    source: str
    size: tuple[int, int]
    frames: int


def capture_photo(
    source: str | int,
    output: Path,
    sign: Callable[[Capture, Path], Result],
    *,
    quality: int = 95,
    warm_up: int | None = None,
) -> Result:
    """Take one frame, hand it to ``sign`` under a temporary name, and return what that returns.

    Args:
        source: a camera number, a device such as ``/dev/video0``, a film, or a stream's URL.
        output: final name; its suffix chooses JPEG, PNG, WebP, TIFF or AVIF.
        sign: called with the capture and ``output``; it writes ``output`` itself, whole or not at all.
        quality: 1 to 100, for lossy formats.
        warm_up: frames to skip first; default 5 for cameras, 0 for films and streams.

    Raises:
        UsageError: no such device, or a suffix that names no picture format.
        MissingPathError: no such film.
        CorruptMediaError: the source gives no frame.
    """
    name = _PHOTO_FORMATS.get(output.suffix.lower())
    if name is None:
        raise UsageError(
            f"{output.suffix or output.name!r} names no picture format",
            hint=f"end the output in one of {', '.join(_PHOTO_FORMATS)}",
        )
    with _opened(source) as camera:
        skip = warm_up if warm_up is not None else (WARM_UP_FRAMES if _is_camera(source) else 0)
        frame = _next_frame(camera, source)
        for _ in range(skip):
            frame = _next_frame(camera, source)
        captured_at = now_utc()
    media = FORMATS[name]
    picture = Picture(pixels=np.ascontiguousarray(frame[..., ::-1]), alpha=None, format=media)
    data = encode_picture(picture, name, quality=None if name in ("PNG", "TIFF") else quality)
    with _private_file(media.suffix) as path:
        path.write_bytes(data)
        return sign(Capture(path, media, captured_at, str(source), picture.size, 1), output)


def capture_video(
    source: str | int,
    output: Path,
    sign: Callable[[Capture, Path], Result],
    *,
    seconds: float,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Record for some seconds (or to the end of a film), then sign as :func:`capture_photo` does.

    Sound is not recorded. The film is MPEG-4 part 2 in MP4, which OpenCV writes without further codecs.

    Args:
        seconds: how long, up to a day.
        progress: called with the seconds recorded so far.

    Raises:
        UsageError: no such device, an output that does not end in ``.mp4``, or an impossible duration.
        MissingPathError, CorruptMediaError: as for :func:`capture_photo`.
    """
    import cv2

    if output.suffix.lower() != ".mp4":
        raise UsageError(
            f"a film is written as MP4, not {output.suffix or output.name!r}", hint="end it in .mp4"
        )
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"{seconds} is not between 0 and {MAX_SECONDS:.0f} seconds")
    with _private_file(".mp4") as path:
        with _opened(source) as camera:
            first = _next_frame(camera, source)
            captured_at, begun = now_utc(), time.monotonic()
            rate = _frame_rate(camera)
            height, width = first.shape[:2]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
            if not writer.isOpened():
                raise CheckError("OpenCV cannot write MP4 here")
            frame: NDArray[np.uint8] | None = first
            count = 0
            try:
                while frame is not None:
                    writer.write(frame)
                    count += 1
                    # a film or stream has its own clock; a camera is held to ours
                    elapsed = time.monotonic() - begun if _is_camera(source) else count / rate
                    if progress:
                        progress(min(elapsed, seconds))
                    if elapsed >= seconds:
                        break
                    good, frame = camera.read()
                    frame = frame if good else None
            finally:
                writer.release()
        capture = Capture(path, FORMATS["MP4"], captured_at, str(source), (width, height), count)
        return sign(capture, output)


def _is_camera(source: str | int) -> bool:
    return isinstance(source, int) or source.isdecimal() or source.startswith("/dev/video")


@contextmanager
def _opened(source: str | int) -> Iterator[Any]:
    """An open ``cv2.VideoCapture``; our errors instead of its silence."""
    import cv2

    wanted: str | int = int(source) if isinstance(source, int) or source.isdecimal() else source
    is_url = isinstance(wanted, str) and "://" in wanted
    if isinstance(wanted, str) and not is_url and not Path(wanted).exists():
        raise MissingPathError(
            f"{wanted} does not exist", hint="give a camera number, a device, a film or a URL"
        )
    # what OpenCV writes to standard error says less than our own message
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(wanted)
        if not camera.isOpened():
            camera.release()
            if _is_camera(source):
                raise UsageError(
                    f"camera {source} cannot be opened", hint="see which there are: ls /dev/video*"
                )
            raise CorruptMediaError(f"{source} cannot be opened as a film or stream")
        try:
            yield camera
        finally:
            camera.release()
    finally:
        cv2.utils.logging.setLogLevel(level)


def _next_frame(camera: Any, source: str | int) -> NDArray[np.uint8]:
    good, frame = camera.read()
    if not good or frame is None or frame.ndim != 3:
        raise CorruptMediaError(f"{source} gives no picture", hint="is the camera used by another program?")
    result: NDArray[np.uint8] = frame
    return result


def _frame_rate(camera: Any) -> float:
    import cv2

    rate = float(camera.get(cv2.CAP_PROP_FPS))
    return rate if 1.0 <= rate <= 240.0 else _DEFAULT_RATE


@contextmanager
def _private_file(suffix: str) -> Iterator[Path]:
    """A path in a folder that only this user can open; removed in any case."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="veilmark-capture-"))
    except OSError as error:
        raise NotWritableError(f"no temporary folder: {error.strerror or error}") from error
    try:
        yield folder / f"capture{suffix}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
