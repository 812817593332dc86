"""Speed and size of the embedded log, against pymerkle's SQLite tree and plain SQLite on the same disk.

    pip install pymerkle==7.0.0          # the peer; GPL, so it is no dependency of veilmark
    python benchmarks/provenance/ledger.py [--rounds 5] [--large 10000000] [--folder DIR]

The peer, plain SQLite and the log take turns within one run, so that the ratios do not depend on how busy the
machine is. All of them sync every commit. "the log" is given openings that are signed already, and checks,
hashes, stores, indexes and proves them, and signs a checkpoint; the others are given the same bytes.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from provenance.ledger import merkle
from provenance.ledger.embedded import lookup
from provenance.ledger.embedded.entries import EntryStore
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.nodes import NodeStore
from provenance.ledger.embedded.rows import Prepared
from provenance.ledger.note import Checkpoint
from provenance.ledger.writer import Request
from provenance.record import Opening, commitment_to
from tests.support.records import make_openings

SINGLES = 60
BATCH = 256
BATCHES = 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=0, help="also fill a log with so many entries")
    parser.add_argument("--sparse", type=int, default=0, help="the same, nearly all of them placeholders")
    parser.add_argument("--measure", type=Path, default=None, help="only measure this filled log")
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        appends(Path(name), options.rounds)
        concurrent(Path(name))
        if options.large:
            large(Path(name), options.large)
        if options.sparse:
            sparse(Path(name), options.sparse)


def appends(folder: Path, rounds: int) -> None:
    openings = make_openings(rounds * (2 * SINGLES + BATCHES * BATCH))
    blobs = {id(opening): opening.to_bytes() for opening in openings}
    supply = iter(openings)
    gc.collect()
    gc.freeze()
    raw = sqlite3.connect(folder / "raw.sqlite3", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
    default = sqlite3.connect(folder / "default.sqlite3", isolation_level=None)  # rollback journal, full sync
    default.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
    peer = _peer(folder / "pymerkle.sqlite3")
    times: dict[str, list[float]] = {}

    def note(what: str, work: Callable[[], object], count: int) -> None:
        start = time.perf_counter()
        work()
        times.setdefault(what, []).append((time.perf_counter() - start) / count)

    def raw_batch(database: sqlite3.Connection, batch: Sequence[Opening]) -> None:
        database.execute("BEGIN")
        database.executemany("INSERT INTO t(data) VALUES (?)", [(blobs[id(opening)],) for opening in batch])
        database.execute("COMMIT")

    with LocalLedger.create(folder / "log.sqlite3", origin="example.org/bench") as log:
        for _ in range(rounds):
            for opening in [next(supply) for _ in range(SINGLES)]:
                data = blobs[id(opening)]
                note(
                    "plain SQLite with WAL, one",
                    partial(raw.execute, "INSERT INTO t(data) VALUES (?)", (data,)),
                    1,
                )
                if peer is not None:
                    note("pymerkle, one", partial(peer.append_entry, data), 1)
                note("log, one, extend()", partial(log.extend, [opening]), 1)
            for opening in [next(supply) for _ in range(SINGLES)]:
                note("log, one, append() with receipt", partial(log.append, [opening]), 1)
            for number in range(BATCHES):
                batch = [next(supply) for _ in range(BATCH)]
                note("plain SQLite with WAL, 256", partial(raw_batch, raw, batch), BATCH)
                note("plain SQLite as it comes, 256", partial(raw_batch, default, batch), BATCH)
                if peer is not None:
                    data_of = [blobs[id(opening)] for opening in batch]
                    note("pymerkle, 256", partial(peer.append_entries, data_of), BATCH)
                if number % 2:
                    note("log, 256, extend()", partial(log.extend, batch), BATCH)
                else:
                    note("log, 256, append() with receipts", partial(log.append, batch), BATCH)
    print(f"{'':<36}{'median':>10}   records/s")
    for what, values in times.items():
        print(f"{what:<36}{median(values) * 1e6:>7.0f} us {1 / median(values):>11.0f}")
    ratio = {what: 1 / median(values) for what, values in times.items()}
    print()
    if peer is not None:
        _ratio("single appends, against pymerkle's", ratio["log, one, extend()"] / ratio["pymerkle, one"], 1)
        _ratio(
            "batches of 256, against pymerkle's single",
            ratio["log, 256, extend()"] / ratio["pymerkle, one"],
            50,
        )
    for kind in ("as it comes", "with WAL"):
        ours = ratio["log, 256, extend()"] / ratio[f"plain SQLite {kind}, 256"]
        _ratio(f"batches of 256, against plain SQLite {kind}", ours, 0.5)


def concurrent(folder: Path) -> None:
    """Eight threads that append one record at a time, against one thread."""
    openings = make_openings(9 * 60, seed="threads")
    with LocalLedger.create(folder / "threads.sqlite3", origin="example.org/threads") as log:
        start = time.perf_counter()
        for opening in openings[:60]:
            log.append([opening])
        alone = (time.perf_counter() - start) / 60
        parts = [openings[60 * n : 60 * (n + 1)] for n in range(1, 9)]
        threads = [
            threading.Thread(target=lambda part=part: [log.append([opening]) for opening in part])
            for part in parts
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = (time.perf_counter() - start) / 480
    print(
        f"\nappend() by 1 thread {alone * 1e3:.2f} ms a record; by 8 threads at once {together * 1e3:.2f} ms"
    )


def large(folder: Path, count: int) -> None:
    """Fill a log with ``count`` entries of real shape, then measure what must not grow."""
    path = folder / "large.sqlite3"
    synthetic = Synthetic(make_openings(1)[0], seed=7)
    LocalLedger.create(path, origin="example.org/large").close()
    began = time.perf_counter()
    with LocalLedger.open(path) as log:
        for start in range(0, count, 1 << 16):
            items = [synthetic.make() for _ in range(min(1 << 16, count - start))]
            request = Request(items)
            log._writer._commit([request])  # the writer itself, without making a signature for each record
            if request.error:
                raise request.error
            if sys.stderr.isatty():
                print(f"\r{start + len(items):,}", end="", file=sys.stderr)
    filled = time.perf_counter() - began
    print(f"\na log of {count:,} entries: filled in {filled:.0f} s")
    measure(path)


def sparse(folder: Path, count: int) -> None:
    """As :func:`large`, but only one entry in 4,096 is real; the others are 40 bytes. Faster to fill.

    What opening and proving cost depends on the tree and the look-up keys, which are the same.
    """
    path = folder / "sparse.sqlite3"
    synthetic = Synthetic(make_openings(1)[0], seed=8)
    draw = random.Random(9)
    LocalLedger.create(path, origin="example.org/sparse").close()
    began = time.perf_counter()
    with LocalLedger.open(path) as log:
        for start in range(0, count, 1 << 17):
            stop = min(start + (1 << 17), count)
            with log._writer.exclusive() as tables:
                connection = log._writer._open()  # the one that is in the transaction
                connection.execute("INSERT OR IGNORE INTO signers VALUES (1, ?)", (synthetic.head,))
                noise = draw.randbytes(80 * (stop - start))
                parts = [noise[i : i + 80] for i in range(0, len(noise), 80)]
                openings, leaves = [part[:40] for part in parts], [part[40:72] for part in parts]
                keys = []
                for index, part in enumerate(parts, start=start):
                    for place in (0, 4, 8):
                        low = int.from_bytes(part[place : place + 4], "big") >> 4
                        keys.append((low << lookup.INDEX_BITS) + index)
                for index in range(start, stop, 4096):
                    real = synthetic.make()
                    openings[index - start], leaves[index - start] = real.stored, real.leaf
                    keys.extend(key + index for key in real.keys)
                EntryStore(connection).append(start, openings, [1] * len(openings), 1_800_000_000)
                lookup.insert(connection, keys)
                lookup.settle(connection, start, stop)
                root = NodeStore(connection).append(start, leaves)[1]
                note = Checkpoint(log.origin, stop, root).sign(log._signing_key())
                tables.set_state(note)
            if sys.stderr.isatty():
                print(f"\r{stop:,}", end="", file=sys.stderr)
    print(f"\na sparse log of {count:,} entries: filled in {time.perf_counter() - began:.0f} s")
    measure(path, step=4096)


def measure(path: Path, step: int = 1) -> None:
    """Bytes, opening, proofs and look-ups of a log that :func:`large` filled."""
    draw = random.Random(11)
    with LocalLedger.open(path) as log:
        count = log.size
        with log.reading() as connection:
            stored = EntryStore(connection).end(count)
            (head,) = connection.execute("SELECT head FROM signers").fetchone()
    size = path.stat().st_size
    print(f"{count:,} entries, {size / 1e9:.2f} GB")
    print(f"bytes a record beyond the record as stored ({stored // count}): {(size - stored) / count:.0f}")
    whole = len(head) + stored // count
    print(f"bytes a record beyond the opening itself ({whole}): {(size - whole * count) / count:.0f}")
    _ratio("bytes a record beyond the record as stored", 150 / ((size - stored) / count), 1)
    opening_times: dict[str, list[float]] = {"cold": [], "warm": []}
    for kind in ("cold", "warm", "warm", "cold", "warm"):
        if kind == "cold":
            _forget(path)
        start = time.perf_counter()
        with LocalLedger.open(path) as log:
            if log.size != count:
                raise SystemExit("the log lost entries")
            opening_times[kind].append(time.perf_counter() - start)
    for kind, values in opening_times.items():
        print(f"open, {kind}: {max(values) * 1e3:.1f} ms at most")
    _ratio("open under 100 ms", 0.1 / max(max(values) for values in opening_times.values()), 1)
    with LocalLedger.open(path) as log:
        proofs, receipts, finds = [], [], []
        checkpoint = log.checkpoint()
        first = time_of_proofs(log, draw, count, 50)
        print(f"inclusion proof, its pages not in memory: median {median(first) * 1e3:.2f} ms")
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
        for _ in range(500):
            index = draw.randrange(-(-count // step)) * step
            with log.reading() as connection:
                start = time.perf_counter()
                proof = NodeStore(connection).inclusion_proof(index, count)
                proofs.append(time.perf_counter() - start)
                leaf = NodeStore(connection).node(0, index)
            merkle.verify_inclusion(index, count, leaf, proof, checkpoint.root)
            record = log.entry(index).record
            start = time.perf_counter()
            log.receipt(index)
            receipts.append(time.perf_counter() - start)
            if step > 1:
                continue  # placeholders cannot be read, and one may share 28 bits with a real hash
            start = time.perf_counter()
            found = log.find_sha256(record.file_sha256)
            finds.append(time.perf_counter() - start)
            if index not in [entry.index for entry in found]:
                raise SystemExit("an entry is not found")
        for what, values in (
            ("inclusion proof", proofs),
            ("whole receipt", receipts),
            ("find by hash", finds),
        ):
            if not values:
                continue
            worst = sorted(values)[len(values) * 99 // 100]
            print(f"{what}: median {median(values) * 1e3:.2f} ms, 99 % under {worst * 1e3:.2f} ms")
        _ratio("proof under 1 ms", 0.001 / median(proofs), 1)
        more = make_openings(20 * BATCH, seed="late")
        gc.collect()
        gc.freeze()
        values = []
        for number in range(20):
            start = time.perf_counter()
            log.extend(more[number * BATCH : (number + 1) * BATCH])
            values.append((time.perf_counter() - start) / BATCH)
        print(f"batches of 256 at that size: {median(values) * 1e6:.0f} us a record")


def time_of_proofs(log: LocalLedger, draw: random.Random, count: int, times: int) -> list[float]:
    took = []
    for _ in range(times):
        with log.reading() as connection:
            start = time.perf_counter()
            NodeStore(connection).inclusion_proof(draw.randrange(count), count)
            took.append(time.perf_counter() - start)
    return took


class Synthetic:
    """Entries with fresh hashes in a real record's bytes; the signature in them is another record's."""

    def __init__(self, opening: Opening, seed: int) -> None:
        self.head, tail = opening.signed.canonical_parts
        self._draw = random.Random(seed)
        self._parts = []
        for name in (b'"file_sha256":"', b'"manifest_sha256":"', b'"source_sha256":"'):
            place = tail.index(name) + len(name)
            self._parts.append(tail[:place])
            tail = tail[place + 64 :]
        self._parts.append(tail)

    def make(self) -> Prepared:
        salt = self._draw.randbytes(32)
        values = [self._draw.randbytes(32).hex() for _ in range(3)]
        first, second, third, last = self._parts
        body = b"".join(
            (first, values[0].encode(), second, values[1].encode(), third, values[2].encode(), last)
        )
        keys = [lookup.base_key(value) for value in values]
        leaf = merkle.leaf_hash(commitment_to(salt, self.head + body))
        return Prepared(self.head, salt + body, leaf, keys, None)


def _peer(path: Path):  # type: ignore[no-untyped-def]
    try:
        from pymerkle import SqliteTree
    except ImportError:
        print("pymerkle is not installed: no comparison with it (pip install pymerkle==7.0.0)\n")
        return None
    return SqliteTree(str(path))


def _forget(path: Path) -> None:
    """Ask the system to drop the file from its cache."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _ratio(what: str, value: float, target: float) -> None:
    verdict = "met" if value >= target else "MISSED"
    print(f"{what:<52}{value:>8.2f}x  (target {target}x: {verdict})")


if __name__ == "__main__":
    main()
