"""Jobs whose workers die, for the tests of both executors."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.bulk.executor import Job
from provenance.errors import CorruptMediaError


@dataclass(frozen=True)
class Dying:
    """Another job, whose worker is killed, once, in the middle of the tasks named so.

    Attributes:
        marks: a folder that remembers who died, and how often a worker began.
        deadly: numbers of tasks, in the order of their names.
        always: kill on every try.
    """

    job: Job
    marks: Path
    deadly: tuple[str, ...]
    always: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[Any], Any]]:
        (self.marks / f"began {os.getpid()} {time.time_ns()}").touch()
        with self.job.open() as work:

            def dying(task: Any) -> Any:
                done = work(task)
                name = Path(str(task)).name
                mark = self.marks / f"died {name}"
                if name in self.deadly and (self.always or not mark.exists()):
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return done

            yield dying


@dataclass(frozen=True)
class Squares:
    """Numbers, squared; a negative one is an error, as of a damaged file."""

    seconds: float = 0.0

    @contextmanager
    def open(self) -> Iterator[Callable[[int], int]]:
        def work(task: int) -> int:
            time.sleep(self.seconds)
            if task < 0:
                raise CorruptMediaError(f"{task} is damaged", hint="take another")
            return task * task

        yield work


@dataclass(frozen=True)
class Slow:
    """Another job, each of whose tasks takes so many seconds more."""

    job: Job
    seconds: float

    @contextmanager
    def open(self) -> Iterator[Callable[[Any], Any]]:
        with self.job.open() as work:

            def slow(task: Any) -> Any:
                time.sleep(self.seconds)
                return work(task)

            yield slow
