"""What faults do: killed runs, flipped bits, damaged files, full disks, a clock that goes back.

Each case is decided by its number, done in a process of its own, and written down as one line, so that the work can be
stopped at any time and goes on when it is called again with the same ``--out``::

    faults.py --out DIR --kills 200 --flips 50 --mutants 20000 --disks 20 --clocks 5

In the end a table says for each kind of fault how many cases there were, what came of them, and every finding: what was
lost, left half written, not noticed, or not told as an expected error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.provenance.fault_cases import CASES

_SLICE = 200


def run(out: Path, wanted: dict[str, int], *, tell: Callable[[str], None] = print) -> list[dict[str, str]]:
    """Do the cases that are not done yet; returns every case's result.

    Args:
        out: a folder for ``results.jsonl``.
        wanted: kind of fault to the number of cases.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.jsonl"
    done = {(one["kind"], one["number"]): one for one in _read(file)}
    for kind, count in wanted.items():
        missing = [number for number in range(count) if (kind, str(number)) not in done]
        for start in range(0, len(missing), _SLICE):
            for one in _slice(kind, missing[start : start + _SLICE]):
                done[one["kind"], one["number"]] = one
                with file.open("a") as stream:
                    stream.write(json.dumps(one) + "\n")
            tell(f"{kind}: {min(start + _SLICE, len(missing))} of {len(missing)}")
    return [one for one in done.values() if int(one["number"]) < wanted.get(one["kind"], 0)]


def table(results: list[dict[str, str]]) -> str:
    """What came of each kind of fault, and every finding."""
    lines = []
    for kind in dict.fromkeys(one["kind"] for one in results):
        own = [one for one in results if one["kind"] == kind]
        outcomes = Counter(one["outcome"] for one in own)
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        lines.append(f"{kind:<8} {len(own):>6} cases: {said}")
    findings = [one for one in results if one["outcome"] == "FINDING"]
    lines += [f"FINDING  {one['kind']} {one['number']}: {one['detail']}" for one in findings]
    return "\n".join(lines)


def _slice(kind: str, numbers: list[int]) -> Iterator[dict[str, str]]:
    """Cases in one process; where it dies of one, that case is a finding, and the others go on in the next."""
    context = multiprocessing.get_context("fork")
    waiting = list(numbers)
    while waiting:
        reader, writer = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(kind, waiting, writer))
        worker.start()
        writer.close()
        try:
            while waiting:
                yield {"kind": kind, "number": str(waiting[0]), **reader.recv()}
                waiting.pop(0)
        except EOFError:
            worker.join()
            detail = f"the process died, exit {worker.exitcode}"
            yield {"kind": kind, "number": str(waiting.pop(0)), "outcome": "FINDING", "detail": detail}
        worker.join()


def _work(kind: str, numbers: list[int], writer: multiprocessing.connection.Connection) -> None:
    with tempfile.TemporaryDirectory(prefix="veilmark-faults-") as folder:
        os.environ["VEILMARK_HOME"] = str(Path(folder) / "home")
        case = CASES[kind](Path(folder))
        for number in numbers:
            try:
                outcome, detail = case(random.Random(f"{kind} {number}"))
            except Exception:
                outcome, detail = "FINDING", traceback.format_exc(limit=-3)[-600:]
            writer.send({"outcome": outcome, "detail": detail})
    writer.close()


def _read(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    lines = file.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder for results.jsonl")
    for kind in CASES:
        parser.add_argument(f"--{kind}", type=int, default=0, help="how many cases")
    arguments = parser.parse_args()
    wanted = {kind: getattr(arguments, kind) for kind in CASES if getattr(arguments, kind)}
    print(table(run(arguments.out, wanted)))


if __name__ == "__main__":
    main()
