"""The frames of one source: what is found in each, written to the journal at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloak.recognition.landmarks68 import landmarks68
from provenance.fingerprint.pdq import pdq_hash
from synth.extraction import measures
from synth.extraction.alignments import KEEP, KEPT_FOLDER, Face, Frame
from synth.extraction.canonical import alignment, alignment68, pose, square68, transformed, warp
from synth.extraction.embedding import Embedder
from synth.extraction.finder import FaceFinder, Found
from synth.extraction.footage import RawFrame, Source
from synth.extraction.journal import Journal
from synth.extraction.options import ExtractOptions
from synth.extraction.tracking import follow_missed
from synth.extraction.workspace import write_png

_EDGE = 1e6


def work_through(
    source: Source,
    number: int,
    folder: Path,
    finder: FaceFinder,
    embedder: Embedder | None,
    options: ExtractOptions,
    journal: Journal,
    sources: Sequence[Source],
    progress: Callable[[float], None] | None,
) -> None:
    """All frames of one source that are not done yet; then those in which the face was missed, and those with a box
    that a person drew, are looked at again.
    """
    done = {frame.index for frame in journal.frames if frame.source == number}
    share = 1 / len(sources)
    for raw in source.frames(lambda index: index % options.every == 0 and index not in done):
        height, width = raw.pixels.shape[:2]
        frame = Frame(len(journal.frames), number, raw.index, raw.time, width, height, "no-face")
        frame.faces = [
            aligned_face(raw, found, frame.number, place, folder, embedder, options)
            for place, found in enumerate(finder.find(raw.pixels))
        ]
        frame.outcome = "faces" if frame.faces else "no-face"
        journal.add(frame)
        if progress:
            progress(
                min(1.0, (number + min(1.0, (raw.index + 1) / max(source.expected, raw.index + 1))) * share)
            )
    if source.width == 0 and done:
        last = next(frame for frame in reversed(journal.frames) if frame.source == number)
        source.width, source.height = last.width, last.height
    _follow(source, number, folder, finder, embedder, options, journal)


def _follow(
    source: Source,
    number: int,
    folder: Path,
    finder: FaceFinder,
    embedder: Embedder | None,
    options: ExtractOptions,
    journal: Journal,
) -> None:
    """Add the faces that no detector reported, see :func:`synth.extraction.tracking.follow_missed`."""
    own = [frame for frame in journal.frames if frame.source == number and frame.outcome != "unreadable"]
    boxes = {one.frame: one.box for one in options.boxes}
    drawn = {place: boxes[frame.number] for place, frame in enumerate(own) if frame.number in boxes}
    known: dict[int, NDArray[np.floating]] = {}
    before = None
    for place, frame in enumerate(own):
        faces = [one for one in frame.faces if one.mesh_score >= options.thresholds.face_score]
        if faces and place not in drawn:
            middles = [one.landmarks.mean(0) for one in faces]
            best = 0
            if before is not None:
                best = int(np.argmin([np.linalg.norm(middle - before) for middle in middles]))
            before = middles[best]
            known[place] = faces[best].landmarks
    if not known and not drawn:
        return
    kept: dict[int, RawFrame] = {}

    def again(places: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        wanted = {own[place].index: place for place in places}
        for raw in source.frames(wanted.__contains__):
            kept.clear()
            kept[wanted[raw.index]] = raw
            yield wanted[raw.index], raw.pixels

    def add(place: int, found: Found) -> None:
        frame = own[place]
        face = aligned_face(kept[place], found, frame.number, len(frame.faces), folder, embedder, options)
        frame.faces.append(face)
        frame.outcome = "faces"
        known[place] = found.landmarks

    # what a person drew comes first, for from there the face is followed both ways
    for places in (sorted(drawn), [place for place in range(len(own)) if place not in known | drawn]):
        if places and (known or drawn):
            follow_missed(finder, dict(known), places, again(places), drawn, add)


def note_unreadable(number: int, journal: Journal) -> None:
    """Of a file among others that cannot be decoded, or not further."""
    own = [frame for frame in journal.frames if frame.source == number]
    if not own or own[-1].outcome != "unreadable":
        index = own[-1].index + 1 if own else 0
        journal.add(Frame(len(journal.frames), number, index, 0.0, 0, 0, "unreadable"))


def aligned_face(
    raw: RawFrame,
    found: Found,
    number: int,
    place: int,
    folder: Path,
    embedder: Embedder | None,
    options: ExtractOptions,
) -> Face:
    """Align one face, write its picture below ``folder``, and measure it; rules are asked later.

    Args:
        number, place: of the frame and of the face within it; they name the file.
    """
    flat = np.clip(found.landmarks[:, :2], -_EDGE, _EDGE)
    classic = None
    if options.align_by == "dlib68":
        classic = landmarks68(raw.pixels, np.array(square68(flat)), options.weights_dir)
    matrix = alignment(flat, options.size) if classic is None else alignment68(classic, options.size)
    pixels = warp(raw.pixels, matrix, options.size)
    aligned = transformed(flat, matrix)
    yaw, pitch, roll = pose(found.landmarks)
    name = f"{KEPT_FOLDER}/{number:06d}_{place}.png"
    write_png(folder / name, pixels)
    height, width = raw.pixels.shape[:2]
    scale = measures.SIDE / options.size
    taken = measures.measure_face(pixels, aligned)
    taken["outside"] = measures.outside_share(flat, matrix * scale, width, height)
    return Face(
        file=name,
        outcome=KEEP,
        judged=KEEP,
        box=tuple(float(np.clip(side, -_EDGE, _EDGE)) for side in found.box),
        score=found.score,
        mesh_score=found.mesh_score,
        matrix=matrix,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        span=found.span,
        measures=taken,
        fingerprint=pdq_hash(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8))[0].hex(),
        landmarks=flat.astype(np.float32),
        embedding=embedder.embed(raw.pixels, flat) if embedder else None,
        landmarks68=classic,
    )
