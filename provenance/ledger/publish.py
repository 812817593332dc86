"""Publishing the log as static files that any web server can serve (c2sp.org/tlog-tiles).

Only commitments are published: 32 random-looking bytes an entry. The checkpoint is written last, so that what
it promises is already there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provenance.addresses import is_bucket
from provenance.errors import LedgerError
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.places import FolderPlace, Place, bucket_place
from provenance.ledger.tiles import ENTRIES, TILE_WIDTH, encode_bundle, tiles_of

#: Another publisher may come first so often before we give up.
_ATTEMPTS = 5


@dataclass(frozen=True)
class Published:
    """What a publication wrote.

    Attributes:
        where: the folder or address.
        checkpoint: the state it shows now; larger than ours where another publisher came first.
        previous_size: the size it showed before; 0 when it was new.
        files: how many files were written.
        bytes: their total size.
    """

    where: str
    checkpoint: Checkpoint
    previous_size: int
    files: int
    bytes: int


def publish(ledger: Log, where: Path | str, *, progress: Callable[[float], None] | None = None) -> Published:
    """Write the log's present state into a folder or a bucket, adding to what is there already.

    The checkpoint is remembered as published: a restored older database will refuse to sign. In a bucket it is only
    replaced in the state that was read, so that of two publishers neither undoes the other's.

    Args:
        ledger: the log.
        where: a folder, made when missing; or ``s3://BUCKET/PREFIX`` (``gs://``, ``az://``).
        progress: called with the part done, 0 to 1.

    Raises:
        ForkError: another history of this log is there, or another log.
        NotWritableError, StoreError: it cannot be written.
        LedgerError: others publish there all the time.
    """
    place: Place = bucket_place(str(where)) if is_bucket(where) else FolderPlace(Path(where))
    ledger.require_no_fork()
    note = ledger.note()
    ours = Checkpoint.parse(note.text)
    start: int | None = None
    files = written = 0
    for _ in range(_ATTEMPTS):
        before, tag = place.checkpoint()
        shown = Checkpoint.parse(before.text) if before else None
        if before is not None:
            ledger.require_consistent(before, place.where)
        size = shown.size if shown else 0
        if start is None:
            start = size
            files, written = _write_tiles(ledger, place, ours, start, progress)
        if before is not None and shown is not None and (size > ours.size or _endorses(before, note)):
            return Published(place.where, shown, start, files, written)
        if place.show(note, tag):
            ledger.keep_checkpoint(note, "published", place.where)
            return Published(place.where, ours, start, files + 1, written + len(str(note).encode()))
    raise LedgerError(f"others publish to {place.where} all the time", hint="let one publisher do it")


def _endorses(shown: Note, ours: Note) -> bool:
    """Whether a bucket shows our checkpoint already, with every signature that we have."""
    return shown.text == ours.text and set(ours.signatures) <= set(shown.signatures)


def _write_tiles(
    ledger: Log, place: Place, ours: Checkpoint, start: int, progress: Callable[[float], None] | None
) -> tuple[int, int]:
    """Tiles and entry bundles that a tree of ``start`` lacks; their number and bytes."""
    files = written = 0
    tiles = list(tiles_of(ours.size, min(start, ours.size)))
    for done, (level, index, width) in enumerate(tiles):
        written += place.write(level, index, width, b"".join(ledger.tile(level, index, width)))
        files += 1
        if level == 0:
            commitments = ledger.commitments(index * TILE_WIDTH, index * TILE_WIDTH + width)
            written += place.write(ENTRIES, index, width, encode_bundle(commitments))
            files += 1
        if progress:
            progress((done + 1) / len(tiles))
    return files, written
