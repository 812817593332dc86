"""Damaged files by the thousand through verify, find and sign: what happens, how long, how much memory.

    python benchmarks/provenance/mutants.py --count 20000

Every mutant of every format (bit flips, truncation, splices, length fields, deletions) is verified with the
look-up in a ledger that knows the originals, then signed. Printed: outcomes by step, the slowest, and the
peak memory of the process. Anything but a verdict or one of veilmark's own errors is a failure.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from provenance.errors import VeilmarkError
from provenance.home import Home
from provenance.manifest.embed import ManifestSpec
from provenance.media.formats import FORMATS
from provenance.search.lookup import Lookup
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from tests.support.media_files import MAKERS
from tests.support.mutants import mutant

SLOW_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", nargs="*", default=sorted(MAKERS), choices=sorted(MAKERS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        return run(Path(name), options.formats, options.count, rng)


def run(folder: Path, formats: list[str], count: int, rng: random.Random) -> int:
    home = Home(folder / "home", folder / "config")
    initialize(home, subject="Jane Doe", algorithm="es256", passphrase=None)
    request = SignRequest(ManifestSpec())
    outcomes: Counter[tuple[str, str]] = Counter()
    failures: Counter[str] = Counter()
    slowest: list[tuple[float, str, str]] = []
    with open_session(home) as session:
        originals: dict[str, list[bytes]] = {}
        for kind in formats:
            source, output = folder / f"{kind}{FORMATS[kind].suffix}", folder / f"{kind}.out"
            MAKERS[kind](source)
            sign_file(source, output, request, session)
            originals[kind] = [source.read_bytes(), output.read_bytes()]
        trust, lookup = TrustStore.load(home), Lookup(home, session.ledger)
        begun = time.monotonic()
        for index in range(count):
            kind = rng.choice(formats)
            damage, data = mutant(rng.choice(originals[kind]), rng)
            path, output = folder / "mutant", folder / "signed"
            path.write_bytes(data)
            steps = {
                "verify and find": lambda: verify_file(path, trust, lookup=lookup).state.value,  # noqa: B023
                "sign": lambda: sign_file(path, output, request, session, force=True) and "signed",  # noqa: B023
            }
            # signing grows the ledger; a tenth of the mutants is enough to show how it meets damage
            for step, work in steps.items():
                if step == "sign" and index % 10:
                    continue
                start = time.monotonic()
                try:
                    outcome = work()
                except VeilmarkError as error:
                    outcome = type(error).__name__
                except Exception as error:
                    outcome = "TRACEBACK"
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    failures[
                        f"{step}, {kind}, {damage}: {type(error).__name__} at {where.name}:{where.lineno}"
                    ] += 1
                outcomes[step, str(outcome)] += 1
                slowest = sorted([*slowest, (time.monotonic() - start, step, kind)], reverse=True)[:3]
    seconds = time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} mutants of {len(formats)} formats in {seconds:.0f} s; peak memory {memory:.0f} MB")
    for (step, outcome), number in sorted(outcomes.items()):
        print(f"  {step:<16} {outcome:<24} {number}")
    print("slowest: " + ", ".join(f"{time:.2f} s ({step}, {kind})" for time, step, kind in slowest))
    for failure, number in failures.most_common():
        print(f"FAILED {number} times: {failure}")
    return 1 if failures or slowest[0][0] > SLOW_S or memory > 1024 else 0


if __name__ == "__main__":
    sys.exit(main())
