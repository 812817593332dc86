"""The folder that an extraction writes: made ready, read again, its pictures put where their outcomes say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, NotWritableError, OutputExistsError
from provenance.media.files import require_writable
from provenance.media.picture import open_picture
from synth.extraction import measures
from synth.extraction.alignments import FILE_NAME, KEEP, KEPT_FOLDER, REFUSED_FOLDER, Alignments, Face
from synth.extraction.canonical import LARGEST_SIZE, transformed
from synth.extraction.journal import Journal
from synth.extraction.sheet import FILE_NAME as SHEET_NAME


def prepare_folder(folder: Path, work: dict[str, Any], force: bool) -> None:
    """Make the folder, and refuse one that holds something else (with ``force``: clear it of earlier faces).

    Raises:
        OutputExistsError: it holds other things, or faces of other footage or settings and ``force`` is false.
        CorruptMediaError: its ``alignments.json`` was damaged and ``force`` is false.
        NotWritableError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file, a folder is needed", hint="name another output with -o")
    known = (FILE_NAME, Journal.FILE_NAME)
    if folder.is_dir() and any(folder.iterdir()):
        if not any((folder / name).exists() for name in known):
            raise OutputExistsError(
                f"{folder} holds other things than faces", hint="name another folder with -o"
            )
        try:
            fits = earlier_run(folder, work) is not None or Journal.fits(folder, work)
        except CorruptMediaError:
            if not force:
                raise
            fits = False
        if not fits:
            if not force:
                raise OutputExistsError(
                    f"{folder} holds the faces of other footage, or extracted with other settings",
                    hint="add --force to replace them, or name another folder with -o",
                )
            for name in (*known, SHEET_NAME):
                (folder / name).unlink(missing_ok=True)
            for name in (KEPT_FOLDER, REFUSED_FOLDER):
                shutil.rmtree(folder / name, ignore_errors=True)
    require_writable(folder / FILE_NAME)
    for name in (KEPT_FOLDER, REFUSED_FOLDER):
        (folder / name).mkdir(exist_ok=True)


def earlier_run(folder: Path, work: dict[str, Any]) -> Alignments | None:
    """A finished extraction of the same footage with the same settings, all of its pictures there."""
    if not (folder / FILE_NAME).is_file():
        return None
    found = Alignments.load(folder)
    if {name: found.settings.get(name) for name in work} != work:
        return None
    for _, face in found.faces(kept=False):
        # a run that was cut off while it moved pictures left some where they were
        name = Path(face.file).name
        places = [face.file, f"{KEPT_FOLDER}/{name}", f"{REFUSED_FOLDER}/{name}"]
        face.file = next((one for one in places if (folder / one).is_file()), "")
        if not face.file:
            return None
    return found


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 RGB; NotWritableError where that fails."""
    good, data = cv2.imencode(
        ".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    try:
        if good:
            path.write_bytes(data.tobytes())
    except OSError as error:
        raise NotWritableError(f"cannot write {path}: {error.strerror or error}") from error


def read_colours(folder: Path, face: Face, size: int) -> NDArray[np.float32]:
    """:func:`~synth.extraction.measures.point_colours` of a face's picture."""
    pixels = open_picture(folder / face.file, max_pixels=LARGEST_SIZE**2).pixels
    return measures.point_colours(pixels, transformed(face.landmarks, face.matrix).astype(np.float32))


def sort_pictures(folder: Path, alignments: Alignments) -> None:
    """Write ``alignments.json``, then move every picture to where its outcome says."""
    moves = []
    for _, face in alignments.faces(kept=False):
        wanted = f"{KEPT_FOLDER if face.outcome == KEEP else REFUSED_FOLDER}/{Path(face.file).name}"
        if wanted != face.file:
            moves.append((folder / face.file, folder / wanted))
            face.file = wanted
    alignments.save(folder)
    for old, new in moves:
        old.replace(new)
