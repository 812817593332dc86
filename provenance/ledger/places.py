"""Where a log is published to: a folder, or a bucket."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from provenance.errors import ForkError
from provenance.ledger.embedded.fork import published_checkpoint
from provenance.ledger.note import MAX_NOTE_BYTES, Note
from provenance.ledger.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, tile_path
from provenance.media.files import write_bytes

if TYPE_CHECKING:
    from provenance.objects import Bucket


class Place(Protocol):
    """A place for a log's static files."""

    where: str

    def checkpoint(self) -> tuple[Note | None, str | None]:
        """The checkpoint that is shown, and what tells this state of it."""
        ...

    def write(self, level: int | str, index: int, width: int, data: bytes) -> int:
        """Write a tile or entry bundle; returns its length."""
        ...

    def show(self, note: Note, tag: str | None) -> bool:
        """Show a checkpoint in place of the one in the state ``tag``; False where that changed meanwhile."""
        ...


class FolderPlace:
    """A folder on this machine, for one publisher at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder.absolute())

    def checkpoint(self) -> tuple[Note | None, str | None]:
        return published_checkpoint(self._folder), None

    def write(self, level: int | str, index: int, width: int, data: bytes) -> int:
        file = self._folder / tile_path(level, index, width)
        write_bytes(file, data, mode=0o644)
        if width == TILE_WIDTH:
            shutil.rmtree(file.with_name(file.name + ".p"), ignore_errors=True)  # replaced by the full one
        return len(data)

    def show(self, note: Note, tag: str | None) -> bool:
        write_bytes(self._folder / "checkpoint", str(note).encode(), mode=0o644)
        return True


def bucket_place(address: str) -> BucketPlace:
    """The place below an address such as ``s3://BUCKET/PREFIX``; obstore is loaded here only."""
    from provenance.objects import Bucket

    return BucketPlace(Bucket(address))


class BucketPlace:
    """A bucket: tiles are written once and never changed, the checkpoint only in the state that was read."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.where = bucket.where

    def checkpoint(self) -> tuple[Note | None, str | None]:
        found = self._bucket.read("checkpoint", MAX_NOTE_BYTES)
        return (None, None) if found is None else (Note.parse(found[0]), found[1])

    def write(self, level: int | str, index: int, width: int, data: bytes) -> int:
        path = tile_path(level, index, width)
        if not self._bucket.create(path, data):
            found = self._bucket.read(path, MAX_BUNDLE_BYTES)
            if found is None or found[0] != data:
                raise ForkError(
                    f"{self.where}/{path} holds other hashes than this log",
                    hint="it belongs to another log or another history: publish elsewhere",
                )
        return len(data)

    def show(self, note: Note, tag: str | None) -> bool:
        data = str(note).encode()
        if tag is None:
            return self._bucket.create("checkpoint", data)
        return self._bucket.replace("checkpoint", data, tag)

    def read(self, path: str, limit: int) -> bytes | None:
        """As a source of a published log, see :mod:`provenance.ledger.tiles`."""
        found = self._bucket.read(path, limit)
        return None if found is None else found[0]
