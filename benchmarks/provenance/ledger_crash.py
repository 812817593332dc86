"""Kill a writer with SIGKILL again and again, at random moments, and look for anything lost.

    python benchmarks/provenance/ledger_crash.py [--kills 200] [--seed 1] [--writers 2] [--batch 1,7,64]

Each round starts writers on one log, kills them all at a random moment after they began to write, and lets the
next round begin with openings that were already acknowledged. After every round the log must open, and hold
each acknowledged opening at its index; at the end the whole log is audited, and no opening may have two leaves.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from provenance.ledger.audit import audit
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.nodes import NodeStore
from provenance.record import Opening
from tests.support.ledger_writer import acknowledged, save_openings, start_writer
from tests.support.records import make_openings

OPENINGS_PER_WRITER = 4000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writers", type=int, default=2, help="processes that write at once")
    parser.add_argument("--batch", default="1,7,64", help="batch sizes, drawn at random")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    batches = [int(size) for size in options.batch.split(",")]
    with tempfile.TemporaryDirectory() as name:
        return run(Path(name), draw, options.kills, options.writers, batches)


def run(folder: Path, draw: random.Random, kills: int, writers: int, batches: list[int]) -> int:
    path = folder / "ledger.sqlite3"
    LocalLedger.create(path, origin="example.org/crash").close()
    openings = [make_openings(OPENINGS_PER_WRITER, seed=f"writer {number}") for number in range(writers)]
    for number, own in enumerate(openings):
        save_openings(folder / str(number), own)
    known: dict[int, Opening] = {}
    reached = [0] * writers
    lost = moved = killed = unfinished = 0
    began = time.monotonic()
    while killed < kills:
        batch = draw.choice(batches)
        starts = [max(0, place - 2 * batch) % (OPENINGS_PER_WRITER - 1) for place in reached]
        running = [start_writer(path, folder / str(i), starts[i], batch) for i in range(writers)]
        heads = [process.stdout.readline() for process in running if process.stdout]
        time.sleep(draw.uniform(0, 0.15))
        for process in running:
            unfinished += process.poll() is None
            process.kill()
            killed += 1
        for own, (number, process) in zip(openings, enumerate(running), strict=True):
            pairs = acknowledged(heads[number] + process.communicate()[0])
            for index, place in pairs:
                moved += known.setdefault(index, own[place]) != own[place]
                reached[number] = max(reached[number], place + 1)
        with LocalLedger.open(path) as log:
            sample = draw.sample(sorted(known), min(len(known), 50)) + sorted(known)[-50:]
            lost += sum(index >= log.size or log.entry(index).opening != known[index] for index in sample)
        if reached and min(reached) >= OPENINGS_PER_WRITER - 1:
            reached = [0] * writers
    with LocalLedger.open(path) as log:
        lost += sum(index >= log.size or log.entry(index).opening != known[index] for index in known)
        report = audit(log, signatures=False)
        with log.reading() as connection:
            leaves = NodeStore(connection).leaves(0, log.size)
    twice = len(leaves) - len(set(leaves))
    print(f"writers killed with SIGKILL        {killed} ({unfinished} of them in the middle of their work)")
    print(f"entries acknowledged               {len(known)}")
    print(f"entries in the log                 {len(leaves)}")
    print(f"acknowledged entries lost          {lost}")
    print(f"acknowledged entries moved         {moved}")
    print(f"openings with two leaves           {twice}")
    print(f"problems found by the audit        {len(report.problems)}")
    print(f"time                               {time.monotonic() - began:.0f} s")
    return 1 if lost or moved or twice or report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
