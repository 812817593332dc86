"""Which cloaked picture belongs to which original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import MediaError, MissingPathError, UsageError
from provenance.media.files import sha256_file
from provenance.media.picture import detect_format

#: Pictures of one measurement.
MOST_PICTURES = 2000


@dataclass(frozen=True)
class Pair:
    """An original, and its cloaked copy where there is one already."""

    original: Path
    cloaked: Path | None = None


def pictures_in(paths: Sequence[Path]) -> list[Path]:
    """The picture files of files and folders (walked, sorted by name); what is no picture is left out of folders.

    Raises:
        MissingPathError: a path that does not exist, or nothing that is a picture.
        UsageError: a file that is no picture, or too many.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingPathError(f"{path} does not exist")
        if path.is_dir():
            found += [one for one in sorted(path.rglob("*")) if _shown(one, path) and _is_picture(one)]
        elif _is_picture(path):
            found.append(path)
        else:
            raise UsageError(f"{path} is no picture", hint="videos are measured when they are cloaked")
        if len(found) > MOST_PICTURES:
            raise UsageError(f"found more than {MOST_PICTURES} pictures", hint="measure a part of them")
    unique = list(dict.fromkeys(found))
    if not unique:
        raise MissingPathError("found no picture", hint="name pictures, or folders that hold some")
    return unique


def pair_up(originals: Sequence[Path], cloaked: Sequence[Path]) -> tuple[list[Pair], list[str]]:
    """Each cloaked picture with its original: by the parent that its manifest names (its SHA-256), else by its name
    without suffix.

    Returns:
        the pairs, in the order of the originals; and a sentence for each cloaked picture that has no original.

    Raises:
        UsageError: not one pair, or two originals of one name where only names can tell.
    """
    by_hash = {sha256_file(path): path for path in originals}
    by_name: dict[str, list[Path]] = {}
    for path in originals:
        by_name.setdefault(path.stem, []).append(path)
    found: dict[Path, Path] = {}
    notes = []
    for path in cloaked:
        parents = [by_hash[one] for one in _parents(path) if one in by_hash]
        named = by_name.get(path.stem, [])
        if not parents and len(named) > 1:
            raise UsageError(
                f"{path} may belong to {named[0]} or {named[1]}",
                hint="name folders in which each name occurs once",
            )
        original = parents[0] if parents else named[0] if named else None
        if original is None:
            notes.append(f"{path.name}: found no original by its manifest or its name")
        else:
            found.setdefault(original, path)
    if not found:
        raise UsageError(
            "found no pair of an original and its cloaked copy",
            hint="keep the names as `veilmark cloak` writes them, or the manifests that name the parent",
        )
    notes += [f"{path.name}: found no cloaked copy" for path in originals if path not in found]
    return [Pair(path, found[path]) for path in originals if path in found], notes


def _parents(path: Path) -> list[str]:
    """SHA-256 of the parents that a picture's manifest names; nothing is verified, since a wrong claim would only pair
    pictures wrongly, and those show other things.
    """
    from provenance.manifest.embed import carries_manifest
    from provenance.manifest.read import read_manifest

    try:
        media = detect_format(path)
        if not carries_manifest(path, media):
            return []
        report = read_manifest(path, media.mime, anchors_pem=())
    except MediaError:
        return []
    return [one["sha256"] for one in report.ingredients if one.get("sha256")] if report else []


def _shown(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_picture(path: Path) -> bool:
    try:
        return detect_format(path).kind == "image"
    except MediaError:
        return False
