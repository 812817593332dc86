"""Publishing the log as static files that any web server can serve (c2sp.org/tlog-tiles).

Only commitments are published: 32 random-looking bytes an entry. The checkpoint is written last, so that what
it promises is already there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provenance.ledger.embedded.fork import published_checkpoint
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint
from provenance.ledger.tiles import (
    ENTRIES,
    TILE_WIDTH,
    encode_bundle,
    tile_path,
    tiles_of,
)
from provenance.media.files import write_bytes


@dataclass(frozen=True)
class Published:
    """What a publication wrote.

    Attributes:
        folder: where.
        checkpoint: the state it shows now.
        previous_size: the size it showed before; 0 when it was new.
        files: how many files were written.
        bytes: their total size.
    """

    folder: Path
    checkpoint: Checkpoint
    previous_size: int
    files: int
    bytes: int


def publish(ledger: Log, folder: Path, *, progress: Callable[[float], None] | None = None) -> Published:
    """Write the log's present state into ``folder``, adding to what is there already.

    The checkpoint is remembered as published: a restored older database will refuse to sign.

    Args:
        ledger: the log.
        folder: made when missing.
        progress: called with the part done, 0 to 1.

    Raises:
        ForkError: the folder shows another history of this log, or another log.
        NotWritableError: it cannot be written.
    """
    ledger.require_no_fork()
    note = ledger.note()
    checkpoint = Checkpoint.parse(note.text)
    before = published_checkpoint(folder)
    if before is not None:
        ledger.require_consistent(before, str(folder))
    start = Checkpoint.parse(before.text).size if before else 0
    tiles = list(tiles_of(checkpoint.size, start))
    written = files = 0
    for done, (level, index, width) in enumerate(tiles):
        written += _write(folder, level, index, width, b"".join(ledger.tile(level, index, width)))
        files += 1
        if level == 0:
            commitments = ledger.commitments(index * TILE_WIDTH, index * TILE_WIDTH + width)
            written += _write(folder, ENTRIES, index, width, encode_bundle(commitments))
            files += 1
        if progress:
            progress((done + 1) / len(tiles))
    write_bytes(folder / "checkpoint", str(note).encode(), mode=0o644)
    ledger.keep_checkpoint(note, "published", str(folder.absolute()))
    return Published(folder, checkpoint, start, files + 1, written + len(str(note).encode()))


def _write(folder: Path, level: int | str, index: int, width: int, data: bytes) -> int:
    file = folder / tile_path(level, index, width)
    write_bytes(file, data, mode=0o644)
    if width == TILE_WIDTH:
        shutil.rmtree(file.with_name(file.name + ".p"), ignore_errors=True)  # replaced by the full one
    return len(data)
