"""What a picture loses when it is written again: told, for it is not seen."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image

from cloak.picture.output_format import bit_depth
from provenance.media.formats import detect_format

_WRITTEN_BITS = 8
#: Pillow's names of colour spaces that become RGB.
_OTHER_SPACES = {"CMYK": "CMYK", "LAB": "L*a*b*", "HSV": "HSV"}
#: Formats that keep transparency.
_WITH_ALPHA = ("PNG", "WebP", "TIFF", "AVIF")
#: A file that grew by less than this is not worth a word.
_GROWN = 1.2


def conversion_notes(source: Path | bytes, format_name: str, written: int) -> tuple[str, ...]:
    """Sentences about what the written picture has no longer, or has more of.

    Args:
        source: the file that was cloaked, which can be decoded.
        format_name: of the written file.
        written: its size in bytes.
    """
    notes = []
    if (bits := bit_depth(source)) > _WRITTEN_BITS:
        notes.append(f"the picture had {bits} bits a channel; it is written with {_WRITTEN_BITS}")
    mode, has_alpha = _mode_of(source)
    if mode in _OTHER_SPACES:
        notes.append(
            f"the picture was {_OTHER_SPACES[mode]}; it is written as RGB, and its inks are not kept"
        )
    if mode == "P":
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        grown = f", and the file is {written / size:.1f} times as large" if written > _GROWN * size else ""
        notes.append(
            "the picture had a palette of at most 256 colours; the cloak needs more, so it is written in full colour"
            + grown
        )
    if has_alpha and format_name not in _WITH_ALPHA:
        notes.append(f"the picture had transparent parts; {format_name} has none")
    return tuple(notes)


def _mode_of(source: Path | bytes) -> tuple[str, bool]:
    """The file's colour mode in Pillow's words, and whether it has transparency; "" where Pillow cannot tell."""
    name = detect_format(source).name
    if name in ("HEIC", "DNG"):
        return "", False
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=[name.upper()]) as image:
                return image.mode, image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    except Exception:
        return "", False  # it was decoded once; what cannot be said of it now is not worth failing for
