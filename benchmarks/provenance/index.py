"""Search among millions of 256-bit fingerprints: time, memory and recall, as ratios to FAISS flat.

    python benchmarks/provenance/index.py [--items 1000000 10000000] [--queries 50] [--without "FAISS MultiHash"]

Half of the queries are stored codes with up to 31 bits flipped, half are random. Every index runs on one thread
and is asked one query at a time (processor time is what is printed); recall is against FAISS flat, within
distance 31.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from provenance.search.hash_index import CODE_BYTES, ExactIndex, Hits, Index, as_words
from provenance.search.multi_index import MultiIndex

RADIUS = 31
_BITS = 8 * CODE_BYTES
_PIECES, _PIECE_BITS = 16, 16


class FaissIndex:
    """FAISS' binary indexes behind our protocol; both are exact up to a radius of 31 bits.

    Args:
        kind: ``flat`` compares with everything; ``multihash`` asks 16 hash tables of 16 bits, one bit flipped.
    """

    def __init__(self, kind: Literal["flat", "multihash"] = "multihash") -> None:
        import faiss

        self._index: Any
        if kind == "flat":
            self._index = faiss.IndexBinaryFlat(_BITS)
        else:
            self._index = faiss.IndexBinaryMultiHash(_BITS, _PIECES, _PIECE_BITS)
            self._index.nflip = 1

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, codes: NDArray[np.uint8]) -> None:
        as_words(codes)
        self._index.add(np.ascontiguousarray(codes))

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        as_words(queries)
        # FAISS counts a distance below, not up to, the radius
        limits, distances, items = self._index.range_search(np.ascontiguousarray(queries), radius + 1)
        counts = np.asarray(limits[1:], dtype=np.int64) - np.asarray(limits[:-1], dtype=np.int64)
        numbers = np.repeat(np.arange(len(queries), dtype=np.int64), counts)
        order = np.lexsort((items, distances, numbers))
        return Hits(
            numbers[order],
            np.asarray(items, dtype=np.int64)[order],
            np.asarray(distances, dtype=np.int64)[order],
        )


INDEXES: dict[str, Callable[[], Index]] = {
    "FAISS flat": lambda: FaissIndex("flat"),
    "NumPy exact": ExactIndex,
    "NumPy multi-index": MultiIndex,
    "FAISS MultiHash": lambda: FaissIndex("multihash"),
}


def codes_and_queries(items: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    codes = random.integers(0, 256, (items, 32), dtype=np.uint8)
    queries = random.integers(0, 256, (count, 32), dtype=np.uint8)
    for number in range(0, count, 2):
        bits = np.unpackbits(codes[random.integers(0, items)])
        bits[random.choice(256, random.integers(0, RADIUS + 1), replace=False)] ^= 1
        queries[number] = np.packbits(bits)
    return codes, queries


def resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, items: int, count: int) -> None:
    """One index in a process of its own, so that memory is its own; prints a line that the parent reads."""
    codes, queries = codes_and_queries(items, count)
    before = resident_bytes()
    start = time.perf_counter()
    index: Index = INDEXES[name]()
    for position in range(0, items, 1_000_000):
        index.add(codes[position : position + 1_000_000])
    index.search(queries[:1], RADIUS)
    built = time.perf_counter() - start
    memory = resident_bytes() - before
    found = []
    start = time.process_time()
    for query in queries:
        hits = index.search(query[None], RADIUS)
        found.append(",".join(map(str, hits.items.tolist())))
    each = (time.process_time() - start) / count
    print(f"{built}|{memory}|{each}|{';'.join(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--without", nargs="*", default=[], choices=list(INDEXES), help="leave these out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.items[0], options.queries)
        return
    for items in options.items:
        print(f"\n{items} codes, {options.queries} queries, radius {RADIUS}")
        print(f"{'index':20s}{'build s':>9s}{'memory MB':>11s}{'ms/query':>10s}{'recall':>8s}{'x flat':>8s}")
        truth: list[set[str]] = []
        flat = 0.0
        for name in (name for name in INDEXES if name not in options.without):
            command = [sys.executable, __file__, "--one", name, "--items", str(items)]
            done = subprocess.run(
                [*command, "--queries", str(options.queries)], capture_output=True, text=True, check=True
            )
            built, memory, each, found = done.stdout.strip().split("|")
            sets = [set(part.split(",")) - {""} for part in found.split(";")]
            if not truth:
                truth, flat = sets, float(each)
            wanted = sum(map(len, truth))
            recall = sum(len(a & b) for a, b in zip(truth, sets, strict=True)) / wanted
            row = f"{name:20s}{float(built):9.1f}{int(memory) / 1e6:11.0f}{float(each) * 1e3:10.2f}"
            print(f"{row}{recall:8.3f}{flat / float(each):8.1f}", flush=True)


if __name__ == "__main__":
    main()
