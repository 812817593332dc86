"""What becomes of the log at a billion records: computed, and tried where it can be tried.

    python benchmarks/provenance/ledger_scale.py [--records 1000000000] [--sample 200000]

Prints the tables of docs/research/ledger-scale.md. The tree of a billion leaves is not stored: its leaves repeat with a
period of 4,096, so that the hash of any perfect subtree is known at once, while the very code that makes and
checks proofs, and that reads published tiles, runs at full size. The look-up table is filled for real with
``--sample`` entries and asked.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from provenance.ledger import merkle
from provenance.ledger.embedded import lookup, schema
from provenance.ledger.embedded.nodes import STRIDE, row_id
from provenance.ledger.tiles import PublishedLog, tile_path, tiles_of

PERIOD_LEVELS = 12
DAYS = 365
ANCHOR_GAS = 53_150  # contracts/GAS.md, `anchor`, steady state
BYTES_BESIDE_THE_RECORD = 111  # benchmarks/provenance/ledger.py --large
RECORD_BYTES = 905


class PeriodicTree:
    """A tree whose leaves repeat: any perfect subtree's hash in O(1), after 4,096 leaf hashes."""

    def __init__(self) -> None:
        leaves = [merkle.leaf_hash(number.to_bytes(32, "big")) for number in range(1 << PERIOD_LEVELS)]
        self.levels = [leaves]
        for _ in range(PERIOD_LEVELS):
            below = self.levels[-1]
            self.levels.append([merkle.node_hash(below[i], below[i + 1]) for i in range(0, len(below), 2)])
        self.reads = 0

    def node(self, level: int, index: int) -> bytes:
        self.reads += 1
        while level >= len(self.levels):
            self.levels.append([merkle.node_hash(self.levels[-1][0], self.levels[-1][0])])
        return self.levels[level][index % len(self.levels[level])]


class TileServer:
    """A published log of that tree: tiles are made when they are asked for, and counted."""

    def __init__(self, tree: PeriodicTree, size: int) -> None:
        self._tree = tree
        self._places: dict[str, tuple[int, int, int]] = {}
        self._size = size
        self.fetched: list[int] = []

    def expect(self, index: int) -> None:
        """Prepare the tiles above one entry, as the paths under which they are asked for."""
        level = 0
        while self._size >> (8 * level):
            width_at_level = self._size >> (8 * level)
            for tile in {index >> (8 * (level + 1)), (width_at_level - 1) >> 8}:
                width = min(256, width_at_level - 256 * tile)
                self._places[tile_path(level, tile, width)] = (level, tile, width)
            level += 1

    def read(self, path: str, limit: int) -> bytes | None:
        if path not in self._places:
            return None
        level, tile, width = self._places[path]
        data = b"".join(self._tree.node(8 * level, 256 * tile + offset) for offset in range(width))
        self.fetched.append(len(data))
        return data


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=10**9)
    parser.add_argument("--sample", type=int, default=200_000)
    options = parser.parse_args()
    sizes_table(options.records)
    proofs_table(options.records)
    lookups_table(options.records, options.sample)
    anchors_table(options.records)


def sizes_table(records: int) -> None:
    print("## What is stored\n")
    print("| records | database | of that, records | full tiles | bytes of tiles | bytes of entry bundles |")
    print("|--:|--:|--:|--:|--:|--:|")
    size = 10**6
    while size <= records:
        full = tile_bytes = 0
        level = size
        while level:
            full += level // 256
            tile_bytes += level * merkle.HASH_BYTES
            level >>= 8
        database = size * (BYTES_BESIDE_THE_RECORD + RECORD_BYTES)
        cells = (
            f"{size:,}",
            _bytes(database),
            _bytes(size * RECORD_BYTES),
            f"{full:,}",
            _bytes(tile_bytes),
            _bytes(size * (2 + 32)),
        )
        print("| " + " | ".join(cells) + " |")
        size *= 10
    partial = sum(width < 256 for _, _, width in tiles_of(records, records - 1))
    print(f"\nOne more record changes {partial} partial tiles and one entry bundle.\n")


def proofs_table(records: int) -> None:
    print("## Proofs in a tree of that size (tried)\n")
    tree = PeriodicTree()
    draw = random.Random(1)
    start = time.perf_counter()
    root = merkle.root_hash(records, tree.node)
    root_time = time.perf_counter() - start
    makes, checks, rows, lengths, tiles, fetched = [], [], [], [], [], []
    for _ in range(200):
        index = draw.randrange(records)
        start = time.perf_counter()
        proof = merkle.inclusion_proof(index, records, tree.node)
        makes.append(time.perf_counter() - start)
        lengths.append(len(proof))
        start = time.perf_counter()
        merkle.verify_inclusion(index, records, tree.node(0, index), proof, root)
        checks.append(time.perf_counter() - start)
        spans = [
            row_id(level // STRIDE, (place << level % STRIDE) // 16)
            for first, stop in merkle.inclusion_ranges(index, records)
            for level, place in merkle.perfect_subtrees(first, stop)
        ]
        rows.append(len(set(spans)))
        server = TileServer(tree, records)
        server.expect(index)
        reader = PublishedLog(server).reader(records)
        if merkle.inclusion_proof(index, records, reader) != proof:
            raise SystemExit("tiles lead to another proof")
        tiles.append(len(server.fetched))
        fetched.append(sum(server.fetched))
    old = records - records // DAYS
    consistency = merkle.consistency_proof(old, records, tree.node)
    merkle.verify_consistency(old, records, merkle.root_hash(old, tree.node), root, consistency)
    print("| | |\n|---|--:|")
    print(f"| root from stored hashes | {root_time * 1e3:.2f} ms |")
    print(f"| inclusion proof, longest | {max(lengths)} hashes, {max(lengths) * 32} bytes |")
    print(f"| consistency with a day before | {len(consistency)} hashes |")
    print(f"| rows of the database that a proof reads, median | {median(rows):.0f} |")
    print(f"| making a proof from hashes, median | {median(makes) * 1e3:.2f} ms |")
    print(f"| checking a proof, median | {median(checks) * 1e6:.0f} us |")
    print(f"| tiles that a stranger fetches for a proof, most | {max(tiles)}, {max(fetched):,} bytes |")
    print()


def lookups_table(records: int, sample: int) -> None:
    print(f"## Look-up by hash (tried with {sample:,} entries, three hashes each)\n")
    draw = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        connection = schema.connect(Path(folder) / "lookup.sqlite3", create=True)
        with contextlib.closing(connection):
            asked, took, extra = fill_and_ask(connection, draw, sample)
        size = (Path(folder) / "lookup.sqlite3").stat().st_size
    expected = 3 * sample / 2**28
    print("| | tried | at a billion |\n|---|--:|--:|")
    print(f"| bytes an entry | {size / sample:.0f} | |")
    print(f"| candidates beyond the true one, a look-up | {extra / asked:.4f} | {3 * records / 2**28:.1f} |")
    print(f"| as predicted | {expected:.4f} | |")
    print(f"| time of a look-up, median | {median(took) * 1e3:.2f} ms | |")
    print()


def fill_and_ask(
    connection: sqlite3.Connection, draw: random.Random, sample: int
) -> tuple[int, list[float], int]:
    known: list[tuple[str, int]] = []
    for start in range(0, sample, 4096):
        stop = min(start + 4096, sample)
        with schema.transaction(connection):
            keys: list[int] = []
            for index in range(start, stop):
                values = [draw.randbytes(32).hex() for _ in range(3)]
                keys.extend(lookup.base_key(value) + index for value in values)
                if index % 97 == 0:
                    known.append((values[0], index))
            lookup.insert(connection, keys)
            lookup.settle(connection, start, stop)
    took, extra = [], 0
    for value, index in known:
        start_time = time.perf_counter()
        found = lookup.candidates(connection, [lookup.base_key(value)], sample, 1000)
        took.append(time.perf_counter() - start_time)
        if index not in found:
            raise SystemExit("an entry was not found")
        extra += len(found) - 1
    return len(known), took, extra


def anchors_table(records: int) -> None:
    daily = records // DAYS
    print(f"## Anchors, at {daily:,} records a day ({records:,} a year)\n")
    print("| one anchor | anchors a day | records in each | gas a day | gas a record | ETH a day at 1 gwei |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, seconds in (("a minute", 60), ("ten minutes", 600), ("an hour", 3600), ("a day", 86400)):
        count = 86400 // seconds
        gas = count * ANCHOR_GAS
        cells = (
            f"every {name}".replace("every a ", "every ").replace("every an ", "every "),
            f"{count:,}",
            f"{daily // count:,}",
            f"{gas:,}",
            f"{gas / daily:.3f}",
            f"{gas * 1e-9:.4f}",
        )
        print("| " + " | ".join(cells) + " |")


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} PB"


if __name__ == "__main__":
    main()
