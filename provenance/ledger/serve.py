"""The published form of the log, made when it is asked for: what :mod:`provenance.ledger.publish` writes as files.

c2sp.org/tlog-tiles: ``checkpoint``, ``tile/LEVEL/N`` and ``tile/entries/N``. Entries are commitments, 32 bytes each.
"""

from __future__ import annotations

import re

from provenance.ledger.log import Log
from provenance.ledger.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, encode_bundle, tile_path

_TILE = re.compile(r"tile/(entries|\d{1,2})/((?:x\d{3}/){0,3}\d{3})(?:\.p/(\d{1,3}))?", re.ASCII)


def checkpoint(ledger: Log) -> bytes:
    """The last signed checkpoint with its cosignatures.

    Raises:
        ForkError: this is an older copy of the log, which must not be shown as its present state.
    """
    ledger.require_no_fork()
    return str(ledger.note()).encode()


def tile(ledger: Log, path: str) -> bytes | None:
    """A tile or an entry bundle by its path below the prefix; None where the log has none (yet) of that path."""
    found = _TILE.fullmatch(path)
    if found is None:
        return None
    name, places, partial = found.groups()
    level: int | str = name if name == ENTRIES else int(name)
    index = int("".join(part.lstrip("x") for part in places.split("/")))
    width = int(partial) if partial else TILE_WIDTH
    if not 0 < width <= TILE_WIDTH or tile_path(level, index, width) != path:
        return None  # another way to write an address of the log
    depth = 0 if level == ENTRIES else int(level)
    first = index * TILE_WIDTH
    if first + width > ledger.size >> (TILE_HEIGHT * depth):
        return None
    if level == ENTRIES:
        return encode_bundle(ledger.commitments(first, first + width))
    return b"".join(ledger.tile(depth, index, width))
