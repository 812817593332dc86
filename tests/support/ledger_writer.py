"""A process that appends to a log until it is killed or done, and says on stdout what was acknowledged.

Usage: ``python -m tests.support.ledger_writer LEDGER OPENINGS START BATCH``

OPENINGS is a file of openings, one a line (:func:`save_openings`). Each line ``INDEX NUMBER`` of output, the
entry's place in the log and in that file, is flushed only after :meth:`provenance.ledger.log.Log.extend` has returned.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provenance.record import Opening
from tests.support.logs import place_of

ROOT = Path(__file__).resolve().parents[2]


def save_openings(path: Path, openings: Sequence[Opening]) -> None:
    path.write_bytes(b"".join(opening.to_bytes() + b"\n" for opening in openings))


def start_writer(ledger: object, openings: Path, start: int = 0, batch: int = 1) -> subprocess.Popen[str]:
    """The process, its stdout in a pipe; ``ledger`` is a path, or a place of :mod:`tests.support.logs`."""
    command = [sys.executable, "-m", "tests.support.ledger_writer"]
    arguments = [str(ledger), str(openings), str(start), str(batch)]
    return subprocess.Popen(command + arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def acknowledged(output: str) -> list[tuple[int, int]]:
    """``(index, number)`` of the complete lines of a writer's output."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return [(int(index), int(number)) for index, number in lines]


def main(place: str, openings: str, start: str, batch: str) -> None:
    lines = Path(openings).read_bytes().splitlines()
    with place_of(place).open() as log:
        for first in range(int(start), len(lines), int(batch)):
            numbers = range(first, min(first + int(batch), len(lines)))
            indexes, _ = log.extend([Opening.from_bytes(lines[number]) for number in numbers])
            pairs = zip(indexes, numbers, strict=True)
            sys.stdout.write("".join(f"{index} {number}\n" for index, number in pairs))
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
