"""The format, the quality and the name of the output, taken from the source where none is chosen."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from cloak.options import CloakOptions
from provenance.errors import UsageError
from provenance.media.formats import detect_format

#: Formats that can be written, and how their names end.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "BMP": (".bmp",),
}
#: Below this a JPEG costs more of the picture than of the noise; measured, cloaks hold at 75 as well as at 95.
MIN_QUALITY = 75
_HEAD = 64
_BITS_PER_SAMPLE = 258
_DEFAULT_DEPTH = 8


def choose_format(source_format: str, requested: str | None) -> str:
    """The format to write: the wanted one, or the source's, or (for a GIF) PNG, or JPEG.

    Raises:
        UsageError: the wanted one cannot be written.
    """
    if requested is None:
        return source_format if source_format in SUFFIXES else "PNG" if source_format == "GIF" else "JPEG"
    chosen = format_of_suffix("." + requested.lower().lstrip("."))
    for name in SUFFIXES:
        if name.lower() == requested.lower():
            chosen = name
    if chosen is None:
        raise UsageError(f"cannot write {requested!r}", hint=f"choose one of {', '.join(SUFFIXES)}")
    return chosen


def format_of_suffix(suffix: str) -> str | None:
    """The format that names with this suffix announce, or None."""
    return next((name for name, suffixes in SUFFIXES.items() if suffix.lower() in suffixes), None)


def output_name(path: Path, requested: str | None) -> Path:
    """The same name, with another suffix where the file to write has another format than the name says; names of what
    is no readable picture stay as they are.
    """
    media = detect_format(path)
    if media.kind != "image":
        return path
    target_format = choose_format(media.name, requested)
    return (
        path
        if path.suffix.lower() in SUFFIXES[target_format]
        else path.with_suffix(SUFFIXES[target_format][0])
    )


def with_source_quality(options: CloakOptions, source: Path | bytes) -> CloakOptions:
    """The options with the source's quality, where none is chosen and its format is kept.

    A JPEG keeps its quality, but at least :data:`MIN_QUALITY`; a lossless WebP stays lossless.
    """
    media = detect_format(source)
    if options.quality is not None or choose_format(media.name, options.format) != media.name:
        return options
    if media.name == "JPEG":
        estimate = jpeg_quality(source)
        return options if estimate is None else replace(options, quality=max(estimate, MIN_QUALITY))
    if media.name == "WebP" and _head(source)[12:16] == b"VP8L":
        return replace(options, quality=100)
    return options


def jpeg_quality(source: Path | bytes) -> int | None:
    """The libjpeg quality, 1 to 100, whose table of luma quantisation is nearest to the file's; None where it has none
    that can be read.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream, formats=["JPEG"]) as image:
            tables = getattr(image, "quantization", None)
    except (OSError, ValueError, SyntaxError):
        return None
    if not tables or len(tables[min(tables)]) != 64:
        return None
    table = tables[min(tables)]

    def distance(quality: int) -> int:
        return int(sum(abs(a - b) for a, b in zip(table, _luma_table(quality), strict=True)))

    return min(range(100, 0, -1), key=distance)


def bit_depth(source: Path | bytes) -> int:
    """Bits of the file's deepest channel; only told of PNG, where the head says it, and of TIFF. Of others 8."""
    head = _head(source)
    if head.startswith(b"\x89PNG"):
        return head[24] if len(head) > 24 else _DEFAULT_DEPTH
    if detect_format(source).name != "TIFF":
        return _DEFAULT_DEPTH
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=["TIFF"]) as image:
                bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))
    except Exception:
        return _DEFAULT_DEPTH  # the decoder reports what is wrong with it
    return max(bits) if bits else _DEFAULT_DEPTH


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD]
    with source.open("rb") as stream:
        return stream.read(_HEAD)


@lru_cache(maxsize=100)
def _luma_table(quality: int) -> tuple[int, ...]:
    """What the encoder at hand uses, in the order in which it reports tables."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
        return tuple(tables[0])
