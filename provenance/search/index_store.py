"""Where the look-up index keeps its fingerprints: an SQLite file and, for feature tables, mapped arrays beside it.

Everything here is derived from the ledger and can be thrown away: a cache of another version, of another ledger,
or one that cannot be read, is emptied, and the caller adds the entries again.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from provenance.errors import LedgerError, ReceiptError
from provenance.fingerprint.features import LocalFeatures
from provenance.fingerprint.video import VideoFingerprint
from provenance.media.files import private_database
from provenance.search.feature_index import FeatureSegment
from provenance.search.hash_index import Searchable

_VERSION = "2"
#: What is filed is called by its entry times this, plus the number of the still in a video.
PARTS = 64
#: So many pictures are searched from memory before they become a segment of files; so many segments become one.
_TAIL, _FAN, _LARGEST = 512, 8, 40_000
_BATCH = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, entry INTEGER NOT NULL UNIQUE, kind TEXT NOT NULL, pixels TEXT, blob BLOB);
CREATE INDEX IF NOT EXISTS entries_by_pixels ON entries (pixels) WHERE pixels IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_to_find ON entries (entry) WHERE kind != 'none';
CREATE INDEX IF NOT EXISTS entries_with_blobs ON entries (seq) WHERE blob IS NOT NULL;
CREATE TABLE IF NOT EXISTS codes (entry INTEGER NOT NULL, time_ms INTEGER NOT NULL, code BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS segments (
    name TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, pictures INTEGER NOT NULL);
"""
#: Entries with features that no segment holds; named, for in a million without features the planner would look at each.
_WAITING = """FROM entries INDEXED BY entries_with_blobs
    WHERE seq > ? AND kind IN ('picture', 'video') AND blob IS NOT NULL"""


#: ``(entry, kind, pixels_sha256, blob, [(time in ms, 32-byte code)])``
Found = tuple[int, str, str | None, bytes | None, list[tuple[int, bytes]]]


class Owners(Protocol):
    """Whose a code is: ``(entry, time in ms)`` by item."""

    def __getitem__(self, item: int, /) -> tuple[int, int]: ...


class Fingerprints(Protocol):
    """What a look-up needs of a store of fingerprints, here or on a server."""

    @property
    def next_entry(self) -> int: ...

    @property
    def is_empty(self) -> bool: ...

    def close(self) -> None: ...

    def add(self, rows: Iterable[Found]) -> int: ...

    def codes(self) -> Iterator[tuple[int, int, bytes]]: ...

    def code_count(self) -> int: ...

    def served_codes(self) -> tuple[Searchable, Owners] | None: ...

    def entries_with_pixels(self, digest: str) -> list[int]: ...

    def blob(self, entry: int) -> bytes | None: ...

    def blobs(self, kind: str) -> Iterator[tuple[int, bytes]]: ...

    def feature_segments(self) -> list[FeatureSegment]: ...


class FingerprintStore:
    """Fingerprints by ledger entry; with ``folder`` None everything stays in memory.

    Args:
        folder: a folder of its own, created when missing.
        source: names the ledger the entries come from; another name empties the cache.
    """

    def __init__(self, folder: Path | None, source: str) -> None:
        self._folder = folder
        self._segments: dict[str, FeatureSegment] = {}
        self._tail: tuple[int, FeatureSegment] | None = None
        try:
            self._database = self._open(source)
        except (sqlite3.OperationalError, OSError):
            # read-only, full or locked: a look-up still works, from memory
            self._folder = None
            self._database = self._open(source)
        except sqlite3.DatabaseError:
            self._discard()
            self._database = self._open(source)

    def _open(self, source: str) -> sqlite3.Connection:
        name = str(private_database(self._folder / "similar.sqlite3")) if self._folder else ":memory:"
        database = sqlite3.connect(name, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.executescript(_SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            known = dict(database.execute("SELECT key, value FROM meta"))
            wanted = {"version": _VERSION, "source": source}
            if known != wanted:
                for table in ("meta", "entries", "codes", "segments"):
                    database.execute(f"DELETE FROM {table}")  # noqa: S608
                database.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
            database.execute("COMMIT")
        except sqlite3.Error:
            database.close()
            raise
        if known != wanted:
            for orphan in self._folder.glob("segment-*") if self._folder else ():
                shutil.rmtree(orphan, ignore_errors=True)
        return database

    def _discard(self) -> None:
        for path in self._folder.iterdir() if self._folder else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        self._segments.clear()
        self._tail = None
        self._database.close()

    @property
    def next_entry(self) -> int:
        (highest,) = self._database.execute("SELECT max(entry) FROM entries").fetchone()
        return 0 if highest is None else int(highest) + 1

    @property
    def is_empty(self) -> bool:
        """Whether no entry has anything to be found by."""
        return not self._database.execute("SELECT 1 FROM entries WHERE kind != 'none' LIMIT 1").fetchone()

    def add(self, rows: Iterable[Found]) -> int:
        """Add ``(entry, kind, pixels_sha256, blob, [(time in ms, 32-byte code)])``; known entries are passed over."""
        waiting = iter(rows)
        count = 0
        while batch := list(itertools.islice(waiting, _BATCH)):
            count += self._add_batch(batch)
            while self._flush():
                pass
        return count

    def _add_batch(self, rows: list[Found]) -> int:
        count = 0
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for entry, kind, pixels, blob, codes in rows:
                done = database.execute(
                    "INSERT OR IGNORE INTO entries (entry, kind, pixels, blob) VALUES (?, ?, ?, ?)",
                    (entry, kind, pixels, blob or None),
                )
                if done.rowcount:
                    count += 1
                    database.executemany(
                        "INSERT INTO codes VALUES (?, ?, ?)", [(entry, time, code) for time, code in codes]
                    )
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        return count

    def codes(self) -> Iterator[tuple[int, int, bytes]]:
        """``(entry, time in ms, code)`` of every hash good enough to identify something."""
        yield from self._database.execute("SELECT entry, time_ms, code FROM codes ORDER BY rowid")

    def code_count(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM codes").fetchone()
        return int(count)

    def served_codes(self) -> None:
        """No index comes with this store: whoever searches builds one over :meth:`codes`."""

    def entries_with_pixels(self, digest: str) -> list[int]:
        found = self._database.execute("SELECT entry FROM entries WHERE pixels = ? ORDER BY entry", (digest,))
        return [entry for (entry,) in found]

    def blob(self, entry: int) -> bytes | None:
        found = self._database.execute("SELECT blob FROM entries WHERE entry = ?", (entry,)).fetchone()
        return found[0] if found else None

    def blobs(self, kind: str) -> Iterator[tuple[int, bytes]]:
        """``(entry, blob)`` of every entry of a kind that has one."""
        yield from self._database.execute(
            "SELECT entry, blob FROM entries WHERE kind = ? AND blob IS NOT NULL ORDER BY entry", (kind,)
        )

    def feature_segments(self) -> list[FeatureSegment]:
        """All filed features: the segments, and the tail that is not one yet."""
        for attempt in (1, 2, 3):
            listed = list(self._database.execute("SELECT name, last FROM segments ORDER BY first"))
            try:
                segments = {name: self._segment(name) for name, _ in listed}
            except (OSError, ValueError):
                # another process may have merged it meanwhile; if not, it is damaged and filed again
                if attempt == 2:
                    self._database.execute("DELETE FROM segments")
                continue
            self._segments = segments
            return [*segments.values(), self._tail_segment(max((last for _, last in listed), default=0))]
        raise LedgerError("the look-up cache changes faster than it can be read", hint="try again")

    def _segment(self, name: str) -> FeatureSegment:
        if name not in self._segments:
            if not self._folder:
                raise ValueError("no such segment")
            self._segments[name] = FeatureSegment.load(self._folder / name)
        return self._segments[name]

    def _tail_segment(self, after: int) -> FeatureSegment:
        (last,) = self._database.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()
        if self._tail is None or self._tail[0] != last:
            rows = self._database.execute(f"SELECT entry, blob {_WAITING}", (after,))
            self._tail = (last, FeatureSegment.build(list(_parsed(rows))))
        return self._tail[1]

    def _flush(self) -> bool:
        """Make the oldest pictures of the tail a segment, or several segments of a size one; False: nothing due."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        removed: list[str] = []
        try:
            listed = list(database.execute("SELECT name, first, last, pictures FROM segments ORDER BY first"))
            run = _run_to_merge([pictures for *_, pictures in listed])
            if run:
                chosen = listed[run.start : run.stop]
                segment = FeatureSegment.merge([self._segment(name) for name, *_ in chosen])
                first, last = chosen[0][1], chosen[-1][2]
                removed = [name for name, *_ in chosen]
            else:
                after = max((last for _, _, last, _ in listed), default=0)
                (count,) = database.execute(f"SELECT count(*) {_WAITING}", (after,)).fetchone()
                if count < _TAIL:
                    database.execute("COMMIT")
                    return False
                query = f"SELECT seq, entry, blob {_WAITING} ORDER BY seq LIMIT ?"
                rows = list(database.execute(query, (after, _TAIL)))
                segment = FeatureSegment.build(list(_parsed((entry, blob) for _, entry, blob in rows)))
                first, last = rows[0][0], rows[-1][0]
            name = f"segment-{uuid.uuid4().hex}"
            if self._folder:
                segment.save(self._folder / name)
            self._segments[name] = segment
            database.executemany("DELETE FROM segments WHERE name = ?", [(gone,) for gone in removed])
            database.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?)", (name, first, last, max(1, len(segment)))
            )
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        self._tail = None
        for gone in removed:
            self._segments.pop(gone, None)
            if self._folder:
                shutil.rmtree(self._folder / gone, ignore_errors=True)
        return True


def _run_to_merge(sizes: list[int]) -> range | None:
    """The last ``_FAN`` segments, if they are about of one size (an eighth of the next tier each)."""
    if len(sizes) < _FAN:
        return None
    run = sizes[-_FAN:]
    alike = max(run) < _FAN * max(1, min(run)) and sum(run) <= _LARGEST
    return range(len(sizes) - _FAN, len(sizes)) if alike else None


def _parsed(rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, LocalFeatures]]:
    for entry, blob in rows:
        try:
            for part, features in enumerate(parts_of(blob)):
                yield entry * PARTS + part, features
        except ReceiptError:
            continue  # a blob of a version this program does not know is simply not found by its features


def parts_of(blob: bytes) -> list[LocalFeatures]:
    """The features of a picture, or of each still of a video.

    Raises:
        ReceiptError: a blob of another kind or version.
    """
    if VideoFingerprint.knows(blob):
        return [one.features for one in VideoFingerprint.from_blob(blob).stills]
    return [LocalFeatures.from_bytes(blob)]
