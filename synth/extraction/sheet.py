"""Contact sheets: many faces on one page, with their outcome and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.media.files import write_bytes
from provenance.media.picture import open_picture
from synth.extraction.alignments import KEEP, Alignments, Face, Frame
from synth.extraction.canonical import LARGEST_SIZE

FILE_NAME = "sheet.png"
_CELL, _CAPTION, _COLUMNS, _MOST = 112, 26, 12, 240
_Row = TypeVar("_Row")
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_sheet(folder: Path, alignments: Alignments, path: Path | None = None) -> Path | None:
    """A sheet of an extraction: kept faces, then refused ones, evenly thinned out to fit; None without any face.

    Args:
        folder: of the extraction.
        path: where to write, ``.png`` or ``.jpg``; default ``sheet.png`` in ``folder``.
    """
    kept = alignments.faces()
    refused = [pair for pair in alignments.faces(kept=False) if pair[1].outcome != KEEP]
    chosen = _thinned(kept, _MOST // 2 if refused else _MOST) + _thinned(refused, _MOST // 2)
    if not chosen:
        return None
    captions = [(_caption(frame, face), face.outcome == KEEP) for frame, face in chosen]
    target = path or folder / FILE_NAME
    write_bytes(
        target, contact_sheet([_thumbnail(folder, face) for _, face in chosen], captions, target.suffix)
    )
    return target


def write_ordered(folder: Path, rows: Sequence[tuple[Frame, Face, float]], path: Path) -> None:
    """A sheet of faces in a given order, each with the value that it was ordered by; thinned out to fit.

    Raises:
        UsageError: no face, or a name that is neither ``.png`` nor ``.jpg``.
    """
    chosen = _thinned(list(rows), _MOST)
    captions = [
        (f"{frame.number} {value:.2f}\n{face.outcome}", face.outcome == KEEP) for frame, face, value in chosen
    ]
    write_bytes(
        path, contact_sheet([_thumbnail(folder, face) for _, face, _ in chosen], captions, path.suffix)
    )


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]], captions: Sequence[tuple[str, bool]], suffix: str = ".png"
) -> bytes:
    """Pictures in rows, each with a caption below; encoded as PNG or JPEG.

    Args:
        pictures: uint8 ``(H, W, 3)`` RGB, of any size.
        captions: for each picture, the text (a line break begins a second line) and whether it is good news.
        suffix: ``.png``, ``.jpg`` or ``.jpeg``.

    Raises:
        UsageError: no picture, or another suffix.
    """
    if not pictures or suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError("a contact sheet needs pictures, and a name that ends in .png or .jpg")
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    page = np.full((rows * (_CELL + _CAPTION), columns * _CELL, 3), 24, np.uint8)
    for place, (picture, (text, good)) in enumerate(zip(pictures, captions, strict=True)):
        top, left = place // columns * (_CELL + _CAPTION), place % columns * _CELL
        cell = cv2.resize(picture, (_CELL - 4, _CELL - 4), interpolation=cv2.INTER_AREA)
        colour = (70, 170, 90) if good else (200, 70, 60)
        page[top : top + _CELL, left : left + _CELL] = colour
        page[top + 2 : top + _CELL - 2, left + 2 : left + _CELL - 2] = cell
        for line, words in enumerate(text.split("\n")[:2]):
            spot = (left + 3, top + _CELL + 10 + 12 * line)
            cv2.putText(page, words[:19], spot, _FONT, 0.33, (225, 225, 225), 1, cv2.LINE_AA)
    _, data = cv2.imencode(suffix.lower(), cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def _thumbnail(folder: Path, face: Face) -> NDArray[np.uint8]:
    return open_picture(folder / face.file, max_pixels=LARGEST_SIZE**2).pixels


def _caption(frame: Frame, face: Face) -> str:
    first = f"{frame.number} " + ("" if face.outcome == KEEP else face.outcome)
    return f"{first}\ny{face.yaw:.0f} p{face.pitch:.0f} b{face.measures.get('blur', 0):.2f}"


def _thinned(rows: list[_Row], most: int) -> list[_Row]:
    return rows if len(rows) <= most else [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most)]
