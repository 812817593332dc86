"""Keeps count of the private descriptors, so that an audit finds deleted and altered ones.

They are no part of the tree: nothing private is committed to. ``meta`` holds how many there are and the sum of their
checksums, changed in the transaction that adds them: against damage and accidents, not against who can write the file.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable

_KEY = "features"
MODULUS = 1 << 62


DAMAGED_COUNT = "the count of what files are found by when they only look alike is damaged"


def insert(connection: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> None:
    """Add descriptors by entry, and count them."""
    rows = list(rows)
    if not rows:
        return
    known = _stored(connection) or _counted(connection)
    connection.executemany("INSERT INTO features(entry, data) VALUES (?, ?)", rows)
    total = known[0] + len(rows), (known[1] + sum(checksum(*row) for row in rows)) % MODULUS
    connection.execute(
        "INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", (_KEY, f"{total[0]} {total[1]}")
    )


def fault(connection: sqlite3.Connection) -> str:
    """What is wrong with the descriptors, or empty; logs of earlier versions are not counted before they grow."""
    try:
        known = _stored(connection)
    except ValueError:
        return DAMAGED_COUNT
    return difference(known, _counted(connection))


def difference(known: tuple[int, int] | None, found: tuple[int, int]) -> str:
    """What the count that is known says against the one that was found, or empty."""
    if known is None or known == found:
        return ""
    if found[0] < known[0]:
        return f"{known[0] - found[0]} of {known[0]} entries lost what they are found by when they only look alike"
    return "what entries are found by when they only look alike was altered"


def _stored(connection: sqlite3.Connection) -> tuple[int, int] | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    if row is None:
        return None
    count, total = str(row[0]).split()
    return int(count), int(total)


def _counted(connection: sqlite3.Connection) -> tuple[int, int]:
    count = total = 0
    for entry, data in connection.execute("SELECT entry, data FROM features"):
        count, total = count + 1, (total + checksum(entry, data)) % MODULUS
    return count, total


def checksum(entry: int, data: bytes) -> int:
    """What one descriptor adds to the sum."""
    return zlib.crc32(data, zlib.crc32(entry.to_bytes(8, "big"))) + 1
