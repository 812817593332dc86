"""Outcomes that a person decided, taken from one ``alignments.json`` into another."""

from __future__ import annotations

from pathlib import Path

from provenance.errors import UsageError
from synth.extraction.alignments import Alignments, Face


def import_decisions(file: Path, folder: Path) -> int:
    """Take over what a person decided in ``file`` for the same faces of the same footage in ``folder``.

    A face is the same when its source's SHA-256, its frame's index and its number within the frame are. Only outcomes
    that differ from what the rules said there are decisions; all others stay with the rules here. The pictures move
    when the set is extracted again.

    Returns:
        how many outcomes changed.

    Raises:
        MissingPathError, CorruptMediaError: one of the two cannot be read.
        UsageError: they share no face.
    """
    given, own = Alignments.load(file), Alignments.load(folder)
    decided = {key: face for key, face in _keyed(given).items() if face.edited}
    here = _keyed(own)
    if not set(_keyed(given)) & set(here):
        raise UsageError(
            f"{file} is about other footage than {folder}",
            hint="import what was exported from the same footage",
        )
    changed = 0
    for key, face in decided.items():
        if key in here and here[key].outcome != face.outcome:
            here[key].outcome = face.outcome
            changed += 1
    if changed:
        own.save(folder)
    return changed


def _keyed(alignments: Alignments) -> dict[tuple[str, int, int], Face]:
    return {
        (str(alignments.sources[frame.source].get("sha256")), frame.index, place): face
        for frame in alignments.frames
        for place, face in enumerate(frame.faces)
    }
