"""Signing WAV and AVI as a stream: c2pa-python 0.38 keeps such a file in memory, twice.

Its library can sign a manifest whose binding to the content is given (C2PA 2.4, "Data hash"), so the chunk ``C2PA`` is
put at the end of the RIFF file here, as C2PA 2.4, "Embedding manifests into RIFF-based assets" asks, and the binding
is computed while the file is copied.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from provenance.errors import CheckError, UsageError
from provenance.manifest import jumbf
from provenance.manifest.read import read_manifest

#: Formats that are signed here; WebP is of the same kind, and small.
RIFF_FORMATS = frozenset({"WAV", "AVI"})
#: c2pa's Reader takes two pieces of 256 MiB into memory; from this size on, the read back does without.
LARGE = 256 * 1024**2
_MARK, _HEAD = b"C2PA", 8
_USUAL_SIZE = 16 * 1024
_MAX_CHUNKS = 100_000
_MAX_SIZE = 2**32
_PIECE = 1024 * 1024
_LABEL, _MISMATCH = "c2pa.hash.data", "assertion.dataHash.mismatch"


class Compose(Protocol):
    """Signs a manifest with a binding to the content; ``dry``: with signatures of zeros, for its size."""

    def __call__(self, binding: dict[str, Any], *, dry: bool = False) -> bytes: ...


@dataclass(frozen=True)
class Layout:
    """A RIFF file: where its manifest's chunk begins (or would), and how many bytes the manifest store has (or 0)."""

    start: int
    store_size: int


def layout_of(path: Path) -> Layout | None:
    """The layout of a file that can be signed here; None for what c2pa shall judge: further RIFF parts, bytes after
    the end, a broken chunk, a manifest that is not the last chunk."""
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or struct.unpack("<I", head[4:8])[0] + _HEAD != end:
            return None
        at = 12
        for _ in range(_MAX_CHUNKS):
            if at == end:
                return Layout(end, 0)
            stream.seek(at)
            about = stream.read(_HEAD)
            if len(about) < _HEAD:
                return None
            size = struct.unpack("<I", about[4:])[0]
            following = at + _HEAD + size + size % 2
            if about[:4] == _MARK:
                return Layout(at, size) if following == end else None
            at = following
            if at > end:
                return None
    return None


def sign_riff(source: Path, output: Path, layout: Layout, compose: Compose) -> bytes:
    """Write a RIFF file with a manifest at its end, in place of an earlier one.

    Args:
        layout: what :func:`layout_of` says of ``source``.
        compose: signs a manifest with this binding; called with ``dry`` for its size first.

    Returns:
        the manifest store.

    Raises:
        UsageError: the file would be over the 4 GiB of its format.
        CheckError: the manifest has not the size that was foreseen.
        c2pa.C2paError: signing failed.
    """
    size = len(compose(_binding(layout.start, _USUAL_SIZE), dry=True))
    # a size of more digits makes the binding itself longer
    size = len(compose(_binding(layout.start, size), dry=True))
    padding = bytes(size % 2)
    whole = layout.start + _HEAD + size + len(padding)
    if whole - _HEAD >= _MAX_SIZE:
        raise UsageError(
            f"{source} would be over the 4 GiB of its format", hint="put it into the ledger: veilmark record"
        )
    digest = hashlib.sha256()
    with source.open("rb") as reading, output.open("wb") as writing:
        head = reading.read(4) + struct.pack("<I", whole - _HEAD)
        reading.seek(_HEAD)
        for piece in chain([head], _pieces(reading, layout.start - _HEAD)):
            digest.update(piece)
            writing.write(piece)
        digest.update(padding)
        store = compose(_binding(layout.start, size, digest.digest()))
        if len(store) != size:
            raise CheckError(f"signing {source} gave manifests of different sizes", hint="try again")
        writing.write(_MARK + struct.pack("<I", size) + store + padding)
    return store


def _binding(start: int, size: int, digest: bytes = bytes(32)) -> dict[str, Any]:
    """The hash assertion: all but the chunk of a manifest store of ``size`` bytes at ``start``."""
    data = {
        "exclusions": [{"start": start, "length": _HEAD + size}],
        "name": "jumbf manifest",
        "alg": "sha256",
        "hash": list(digest),
        "pad": [],
    }
    return {"label": _LABEL, "data": data, "created": True}


def faults_of_written(path: Path, mime: str, store: bytes, anchors_pem: Sequence[str]) -> list[str]:
    """What c2pa's Reader would say of a file that was just signed here, found in little memory.

    c2pa checks the manifest without the content. That the file holds this manifest, and that the content is what it
    binds, is checked here.

    Returns:
        status codes of failures; empty for a good file.
    """
    layout = layout_of(path)
    if layout is None or layout.store_size != len(store):
        return ["claim.missing"]
    bound = jumbf.assertion(store, jumbf.active_label(store), _LABEL)
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in _pieces(stream, layout.start):
            digest.update(piece)
        stream.seek(_HEAD, 1)
        held = stream.read(len(store))
        digest.update(stream.read())
    place = {"start": layout.start, "length": _HEAD + len(store)}
    if held != store or bound.get("exclusions") != [place] or bound.get("hash") != digest.digest():
        return [_MISMATCH]
    report = read_manifest(Path(os.devnull), mime, anchors_pem=anchors_pem, manifest_data=store)
    if report is None:
        return ["claim.missing"]
    return [one.code for one in report.failures if one.code != _MISMATCH]


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The next ``size`` bytes; OSError where there are fewer."""
    while size:
        data = stream.read(min(size, _PIECE))
        if not data:
            raise OSError("the file became shorter while it was read")
        size -= len(data)
        yield data
