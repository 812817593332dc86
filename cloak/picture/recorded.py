"""Is a file without a manifest the copy of a cloak that this machine's ledger knows?"""

from __future__ import annotations

from pathlib import Path

from provenance.errors import UsageError, VeilmarkError
from provenance.fingerprint.picture import fingerprint_file
from provenance.home import Home
from provenance.media.media_file import MediaFile
from provenance.search.lookup import open_lookup


def recorded_cloaks(source: Path, home: Home) -> tuple[int | None, list[int]]:
    """Ledger entries of cloaks that a picture is a copy of.

    Returns:
        The entry whose file it is, byte for byte or pixel for pixel, or None; and those that it looks like. An
        original looks like its cloak: fingerprints stand such changes.
    """
    file = MediaFile.open(source)
    if file.format.kind != "image":
        return None, []
    with open_lookup(home) as lookup:
        if lookup is None:
            return None, []
        size = lookup.ledger.size

        def cloaks(entries: list[int]) -> list[int]:
            relations = {one: lookup.ledger.entry(one).opening.signed.record.relation for one in entries}
            return [one for one, relation in relations.items() if relation == "cloaked"]

        if same := [entry.index for entry in lookup.ledger.find_sha256(file.sha256)]:
            return next(iter(cloaks(same)), None), []
        matches = lookup.index.search(fingerprint_file(file, exact_pixels=True))
        matches = [one for one in matches if one.entry_index < size]
        if same_pixels := [one.entry_index for one in matches if one.kind == "pixels"]:
            return next(iter(cloaks(same_pixels)), None), []
        return None, cloaks([one.entry_index for one in matches if one.confirmed])


def refuse_recorded(source: Path, home: Home) -> None:
    """Raise :class:`UsageError` for a file that is a recorded cloak without its manifest. What cannot be looked up is
    no reason to refuse.
    """
    try:
        entry, _ = recorded_cloaks(source, home)
    except VeilmarkError:
        return
    if entry is not None:
        raise UsageError(
            f"{source} is cloaked already, as ledger entry {entry} says; a second one adds visible noise on top",
            hint="cloak the original, or add --again",
        )


def explain_no_face(source: Path, home: Home) -> str | None:
    """Why a picture may show no face: a cloak that it looks like was recorded; None where there is none."""
    try:
        _, similar = recorded_cloaks(source, home)
    except VeilmarkError:
        return None
    if not similar:
        return None
    return f"{source} looks like the cloaked picture of ledger entry {similar[0]}, or like its original"
