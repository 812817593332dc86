"""The executor of one machine: worker processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Iterable, Iterator
from typing import Any

from provenance.bulk.executor import Job, Outcome
from provenance.bulk.feed import Feed
from provenance.errors import CheckError, VeilmarkError

_AHEAD = 16
_END = None


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(job, theirs), daemon=True, name="veilmark-worker")
        self.process.start()
        theirs.close()
        self.task: tuple[int, Any] | None = None
        self.opened = False


class ProcessExecutor:
    """Workers of this machine.

    Args:
        jobs: how many at once.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def results(self, job: Job, tasks: Iterable[Any]) -> Iterator[list[Outcome]]:
        """See :meth:`provenance.bulk.executor.Executor.results`."""
        feed = Feed(tasks, _AHEAD * self._jobs)
        workers = [_Worker(job) for _ in range(self._jobs)]
        stillborn = 0
        try:
            while True:
                for worker in workers:
                    if worker.task is None and (task := feed.take()) is not None:
                        worker.task = task
                        _send(worker)
                if feed.done:
                    return
                busy = {worker.pipe: worker for worker in workers if worker.task is not None}
                for pipe in multiprocessing.connection.wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    number, task = worker.task or (0, None)
                    try:
                        outcome = worker.pipe.recv()
                    except (EOFError, OSError):
                        stillborn = stillborn + 1 if not worker.opened else 0
                        if stillborn > 2 * self._jobs:
                            raise CheckError(
                                "worker processes die as they start", hint="use --jobs 1"
                            ) from None
                        worker.process.join()
                        workers[workers.index(worker)] = _Worker(job)
                        feed.lost(number, task)
                        continue
                    worker.task, worker.opened = None, True
                    feed.put(number, outcome)
                if found := feed.ready():
                    yield found
        finally:
            for worker in workers:
                worker.pipe.close()  # ends the ones that wait
                worker.process.join(timeout=0 if worker.task else 10)
                if worker.process.is_alive():
                    worker.process.kill()
                    worker.process.join()


def _send(worker: _Worker) -> None:
    try:
        worker.pipe.send(worker.task[1] if worker.task else None)
    except OSError:
        return  # it died; that is seen when its answer is waited for


def _serve(job: Job, pipe: multiprocessing.connection.Connection) -> None:
    """A worker's life."""
    try:
        opened: Any = job.open()
        with opened as work:
            while True:
                task = pipe.recv()
                try:
                    pipe.send(work(task))
                except VeilmarkError as error:
                    pipe.send(error)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except VeilmarkError as error:  # it could not begin: said once for each task it is given
        while True:
            try:
                pipe.send(error)
                pipe.recv()
            except (EOFError, OSError):
                return
