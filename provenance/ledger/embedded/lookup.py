"""From a SHA-256 to the entries that name it.

Each key is one integer: a generation (3 bits), the first 28 bits of the hash, the entry's index (32 bits).
Hashes are random, so one large sorted table would have a page rewritten for nearly every key. New keys
therefore enter a small generation and move on in bulk, in key order, each time the log has grown by 4,096,
65,536 and 1,048,576 entries; a look-up asks all four generations.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

INDEX_BITS = 32
_PREFIX_BITS = 28
_GENERATION = 1 << (INDEX_BITS + _PREFIX_BITS)
_SPANS = (1 << 12, 1 << 16, 1 << 20)
_INDEX_MASK = (1 << INDEX_BITS) - 1


def base_key(sha256_hex: str) -> int:
    """Key of a hash for entry 0 in the youngest generation; add the entry's index."""
    return (int(sha256_hex[:8], 16) >> (32 - _PREFIX_BITS)) << INDEX_BITS


def insert(connection: sqlite3.Connection, keys: Iterable[int]) -> None:
    """Add keys (base key plus index) to the youngest generation."""
    rows = json.dumps(sorted(keys))
    connection.execute("INSERT OR IGNORE INTO lookup(key) SELECT value FROM json_each(?)", (rows,))


def settle(connection: sqlite3.Connection, old_size: int, size: int) -> None:
    """Move generations on where the log grew past their span."""
    for generation, span in enumerate(_SPANS):
        if old_size // span == size // span:
            return
        low, high = generation * _GENERATION, (generation + 1) * _GENERATION
        connection.execute(
            "INSERT INTO lookup(key) SELECT key + ? FROM lookup WHERE key >= ? AND key < ? ORDER BY key",
            (_GENERATION, low, high),
        )
        connection.execute("DELETE FROM lookup WHERE key >= ? AND key < ?", (low, high))


def missing(connection: sqlite3.Connection, keys: Sequence[int]) -> list[int]:
    """Those keys (base key plus index) that no generation holds."""
    query = """SELECT value FROM json_each(?1) WHERE NOT EXISTS (
        SELECT 1 FROM lookup WHERE key IN (value, value + ?2, value + 2 * ?2, value + 3 * ?2))"""
    return [int(key) for (key,) in connection.execute(query, (json.dumps(list(keys)), _GENERATION))]


def candidates(connection: sqlite3.Connection, base_keys: Sequence[int], size: int, limit: int) -> list[int]:
    """Entries that may name one of these hashes, in log order; 28 bits can mislead, so look at the record.

    Args:
        connection: the database.
        base_keys: see :func:`base_key`.
        size: entries in the log, which tells the generations in use.
        limit: the most that are wanted; the earliest are returned.
    """
    query = """SELECT DISTINCT lookup.key & ? FROM json_each(?) AS low
        JOIN lookup ON lookup.key BETWEEN low.value AND low.value + ? ORDER BY 1 LIMIT ?"""
    used = 1 + sum(size >= span for span in _SPANS)
    lows = [base + generation * _GENERATION for base in base_keys for generation in range(used)]
    rows = connection.execute(query, (_INDEX_MASK, json.dumps(lows), _INDEX_MASK, limit))
    return [int(index) for (index,) in rows]
