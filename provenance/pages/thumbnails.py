"""Small pictures for the verdict's page: the file itself, and what its manifest kept of what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.manifest.extract import extract_resource
from provenance.media.files import is_file, read_companion
from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
from provenance.media.thumbnail import small_jpeg
from provenance.sign import check_source
from provenance.verdict import Verdict
from provenance.verify import MAX_SIDECAR_BYTES

#: Longer side in pixels, and how many are shown for one file.
SIDE, MAX_PICTURES = 240, 24
_MAX_BYTES = 4 * 1024 * 1024


def pictures_of(path: Path, verdict: Verdict, *, sidecar: Path | None = None) -> dict[str, bytes]:
    """JPEG bytes by the identifier that the verdict's ingredients name; the file itself under ``""``.

    Everything is decoded within limits and encoded anew, so that nothing of a file's own bytes reaches the page.
    Pictures that cannot be decoded are left out, and so are those of a manifest that failed: nobody
    answers for what they show.
    """
    found: dict[str, bytes] = {}
    try:
        media = check_source(path)
        if media.kind == "image":
            found[""] = small_jpeg(path, SIDE)
    except VeilmarkError:
        return found
    if verdict.failed:
        return found
    beside = sidecar or with_suffix_added(path, SIDECAR_SUFFIX)
    data = None
    if verdict.credential == "side-car" and is_file(beside):
        data = read_companion(beside, MAX_SIDECAR_BYTES)
    for uri in _identifiers(verdict.ingredients):
        if len(found) > MAX_PICTURES:
            break
        if uri not in found:
            try:
                picture = extract_resource(path, media.mime, uri, manifest_data=data, max_bytes=_MAX_BYTES)
                found[uri] = small_jpeg(picture, SIDE)
            except VeilmarkError:
                continue
    return found


def picture_of(ingredient: dict[str, Any]) -> list[str]:
    """Identifiers of the pictures that stand for an ingredient, the best first."""
    manifest = ingredient.get("manifest") or {}
    return [uri for uri in (ingredient.get("thumbnail"), manifest.get("thumbnail")) if uri]


def _identifiers(ingredients: list[dict[str, Any]]) -> Iterator[str]:
    for one in ingredients:
        yield from picture_of(one)
        yield from _identifiers((one.get("manifest") or {}).get("ingredients") or [])
