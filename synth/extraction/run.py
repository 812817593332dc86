"""The extraction pipeline: from footage to a folder of aligned faces.

What it writes::

    FACES/alignments.json       every frame's outcome, see alignments.py
    FACES/faces/NNNNNN_F.png    aligned faces that are kept
    FACES/refused/NNNNNN_F.png  those that a rule, or a person, refused
    FACES/sheet.png             a contact sheet of both

While it works there is also ``unfinished.jsonl``: a line for each frame that is done, so that an interrupted run
goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConsentError, MediaError, NoFaceError, UsageError
from provenance.media.files import sha256_file
from provenance.media.picture import open_picture
from synth.consent.permission import UNREADABLE
from synth.extraction.alignments import Alignments
from synth.extraction.embedding import Embedder
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import Source, open_footage
from synth.extraction.frames import note_unreadable, work_through
from synth.extraction.journal import Journal
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import apply_rules
from synth.extraction.workspace import earlier_run, prepare_folder, read_colours, sort_pictures

_FEW = 64


@dataclass
class Extraction:
    """What came of it.

    Attributes:
        folder: where the faces lie.
        alignments: everything about them.
        resumed: frames that an earlier, interrupted or finished run had done already.
        notes: what a person should know, a sentence each.
    """

    folder: Path
    alignments: Alignments
    resumed: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "veilmark.extracted/1",
            "folder": str(self.folder),
            "frames": len(self.alignments.frames),
            "kept": len(self.alignments.faces()),
            "counts": self.alignments.counts(),
            "edited": sum(face.edited for _, face in self.alignments.faces(kept=False)),
            "resumed": self.resumed,
            "sources": self.alignments.sources,
            "settings": self.alignments.settings,
            "consent": self.alignments.consent,
            "notes": self.notes,
        }


def extract_faces(
    footage: Path,
    folder: Path,
    consent: dict[str, Any],
    options: ExtractOptions | None = None,
    *,
    embedder: Embedder | None = None,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Extraction:
    """Extract faces, or finish, or judge anew what an earlier run extracted from the same footage.

    Args:
        footage: a video, a picture, or a folder of them.
        folder: where to write; made if it is missing.
        consent: the basis on which these very files are used, of :meth:`synth.consent.permission.Permission.to_json`.
        embedder: tells people apart; without one the rule wrong-person is not applied.
        force: replace the extraction of other footage, or with other settings, that lies in ``folder``.
        progress: called with the share of frames done, 0 to 1.

    Raises:
        MissingPathError, MediaError: footage that is missing, broken or too large.
        UsageError: options out of range.
        ConsentError: a file that ``consent`` says nothing about.
        OutputExistsError: ``folder`` holds something else.
        NoFaceError: no face was kept (``alignments.json`` is written and says why).
    """
    options = options or ExtractOptions()
    options.check()

    # 1. The footage, by its bytes; what asks for the same work goes on with what is there.
    sources = open_footage(footage)
    digests = [sha256_file(source.path) for source in sources]
    _require_basis(sources, digests, consent)
    work = {
        "size": options.size,
        "every": options.every,
        "detectors": list(options.detectors),
        "align_by": options.align_by,
        "embedder": embedder.name if embedder else None,
        "boxes": [one.to_json() for one in options.boxes],
        "sources": digests,
    }
    prepare_folder(folder, work, force)
    earlier = earlier_run(folder, work)
    reference = _reference(options, embedder)

    # 2. Every frame: faces, landmarks, measures; each face's aligned picture is written at once.
    notes: list[str] = []
    if earlier is not None:
        frames, resumed = earlier.frames, len(earlier.frames)
        described = earlier.sources
    else:
        with Journal.open(folder, work) as journal:
            resumed = len(journal.frames)
            finder = FaceFinder(options.detectors, options.device, options.weights_dir, ask_all=True)
            for number, source in enumerate(sources):
                try:
                    work_through(
                        source, number, folder, finder, embedder, options, journal, sources, progress
                    )
                except MediaError as error:
                    if len(sources) == 1:
                        raise
                    source.damage = str(error)
                    note_unreadable(number, journal)
            frames = journal.frames
        described = [
            {**source.to_json(), "sha256": digest} for source, digest in zip(sources, digests, strict=True)
        ]
    settings = {**work, "thresholds": options.thresholds.to_json()}
    result = Alignments(options.size, described, consent, settings, frames)

    # 3. The rules, over each face and over the set; what a person decided stays.
    apply_rules(
        result,
        options.thresholds,
        colours=lambda face: read_colours(folder, face, options.size),
        reference=reference,
    )
    sort_pictures(folder, result)
    Journal.remove(folder)

    # 4. The contact sheet, and what a person should know.
    from synth.extraction.sheet import write_sheet

    write_sheet(folder, result)
    notes += _notes(result, embedder)
    if not result.faces():
        message, hint = _nothing(footage, result)
        raise NoFaceError(message, hint=hint)
    return Extraction(folder, result, resumed, notes)


def _require_basis(sources: Sequence[Source], digests: Sequence[str], consent: dict[str, Any]) -> None:
    covered = {one["sha256"]: one["basis"] for one in consent.get("files", []) if one.get("basis")}
    for source, digest in zip(sources, digests, strict=True):
        if not consent.get("basis") or digest not in covered:
            raise ConsentError(
                f"nothing says on which basis {source.path} may be used",
                hint="ask `synth.consent.permission.permission_for` first; if the file has just changed, run it again",
            )
        if covered[digest] == UNREADABLE:
            source.kind, source.damage = "unreadable", source.damage or f"{source.path} cannot be read"


def _reference(options: ExtractOptions, embedder: Embedder | None) -> NDArray[np.float32] | None:
    if options.reference is None:
        return None
    if embedder is None:
        raise UsageError(
            "a reference picture needs a network that tells people apart", hint="install its weights"
        )
    pixels = open_picture(options.reference).pixels
    found = FaceFinder(options.detectors, options.device, options.weights_dir).find(pixels)
    if not found:
        raise NoFaceError(f"{options.reference} shows no face", hint="name a picture of the wanted person")
    return embedder.embed(pixels, found[0].landmarks[:, :2])


def _notes(alignments: Alignments, embedder: Embedder | None) -> list[str]:
    from synth.extraction.faceset import FEWEST_FACES

    notes = [f"{one['path']}: {one['damage']}" for one in alignments.sources if one.get("damage")]
    kept = len(alignments.faces())
    if alignments.settings["align_by"] == "dlib68":
        notes.append(
            "aligned by dlib's 68 landmarks: for research only, their training set excludes commercial use"
        )
    if embedder is None:
        notes.append(
            "the rule wrong-person was not applied: the weights that tell people apart are not installed"
        )
    if 0 < kept < _FEW:
        faces = "1 face was" if kept == 1 else f"{kept} faces were"
        why = f"a generator trained on fewer than {_FEW} learns them by heart"
        if kept < FEWEST_FACES:
            why = f"training takes {FEWEST_FACES} and some that are held out, some hundred give a good result"
        notes.append(f"only {faces} kept; {why}")
    return notes


_ADVICE = {
    "several-people": "cut the footage to one person, or allow two: --threshold people=2 --reference PICTURE",
    "too-small": "use footage in which the face is larger, or --threshold side=NUMBER",
    "no-face": "use footage that shows a face from the front",
}


def _nothing(footage: Path, alignments: Alignments) -> tuple[str, str]:
    counts = alignments.counts()
    said = ", ".join(f"{outcome} {number}" for outcome, number in counts.items())
    most = max(counts, key=lambda outcome: counts[outcome], default="no-face")
    advice = _ADVICE.get(most, f"alignments.json says why; loosen the rule {most} with --threshold")
    return f"no face of {footage} was kept ({said or 'no frame'})", advice
