"""What an executor offers, and what a job is.

Workers prepare (read, fingerprint, sign), one process logs: a worker that is killed has logged nothing, so that its
file is prepared again by another and its record is there once. Workers need the signer's key, never the log's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from provenance.errors import VeilmarkError, WorkerDiedError

#: So many seconds a worker's clock may be off before somebody is told.
MAX_SKEW = 5.0
#: So often a file is tried again whose worker died.
MAX_TRIES = 3

Work = Callable[[Any], Any]
Outcome = Any | VeilmarkError


class Job(Protocol):
    """What workers do; it is sent to them pickled, and so are its tasks and results.

    A job may say what a worker needs of its machine: ``gpus``, and ``memory`` in bytes. A cluster begins workers only
    where there is that.
    """

    def open(self) -> AbstractContextManager[Work]:
        """Load what the work needs, once in each worker; gives the function that does one task."""
        ...


class Executor(Protocol):
    """Runs a job's tasks on workers."""

    def results(self, job: Job, tasks: Iterable[Any]) -> Iterator[list[Outcome]]:
        """Each task's result, in the order of the tasks, in lists of those that are ready together.

        A :class:`VeilmarkError` that a task raised takes the place of its result. Tasks are taken as workers come
        free, and not many ahead of what was given back.

        Raises:
            UsageError: a worker has another version of veilmark.
            CheckError: no worker is left.
        """
        ...


def died(task: Any) -> WorkerDiedError:
    """What is said of a task that took :data:`MAX_TRIES` workers with it."""
    return WorkerDiedError(f"the worker died {MAX_TRIES} times on {str(task)[:200]}")
