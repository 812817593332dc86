"""The one queue of jobs: bounded, fair enough, and on disk.

What was acknowledged is on disk. A service that was killed takes up the jobs that waited or ran, from their beginning.
Quick jobs (verify, sign) and long ones (cloak) have workers of their own, so that neither waits for the other.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.errors import ExitCode, UsageError, VeilmarkError
from veilmark.web.job import CancelledError, Job, JobState
from veilmark.web.settings import Limits

__all__ = ["Busy", "Job", "JobQueue", "JobState", "Kind"]

_log = logging.getLogger("veilmark.web")
_MOST_ATTEMPTS = 3
#: Folders without a job are uploads that broke off.
_ABANDONED_SECONDS = 3600

Runner = Callable[[Job], dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """What does the jobs of one kind.

    Attributes:
        long: they take long, and wait in their own line.
        asks: they end with a question to their owner (what shall be signed? which faces?); what was uploaded is kept
            until the answer, which makes another job of them.
    """

    run: Runner
    long: bool = False
    asks: bool = False


class Busy(Exception):
    """No place in the queue; ``seconds`` after which to ask again."""

    def __init__(self, message: str, seconds: int = 5) -> None:
        super().__init__(message)
        self.seconds = seconds


class JobQueue:
    """Thread-safe; :meth:`start` before the first job, :meth:`close` at the end.

    Args:
        folder: where jobs lie; made where it is missing.
        kinds: what runs them.
        scrub: takes paths and the like out of what an error says.
    """

    def __init__(
        self, folder: Path, kinds: Mapping[str, Kind], limits: Limits, scrub: Callable[[str], str] = str
    ) -> None:
        self._folder, self._kinds, self._limits, self._scrub = folder, dict(kinds), limits, scrub
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[bool, deque[Job]] = {False: deque(), True: deque()}
        self._changed = threading.Condition()
        self._reserved = 0
        self._closing = False
        #: The service is about to end: whoever waits for news of a job is told nothing more.
        self.ending = threading.Event()
        self._threads: list[threading.Thread] = []

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Take up what an earlier run left, and start the workers."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._changed:
            left = (Job.load(one) for one in self._folder.iterdir() if one.is_dir())
            for job in sorted((one for one in left if one is not None), key=lambda one: one.created):
                self._jobs[job.id] = job
                if job.kind not in self._kinds:
                    job.state = JobState.FAILED
                elif job.state.ended:
                    self._clear(job, job.state)  # the service was killed before that
                else:
                    job.state = JobState.QUEUED
                    self._waiting[self._kinds[job.kind].long].append(job)
        self.sweep()
        for long, count in ((False, self._limits.workers), (True, self._limits.long_workers)):
            for number in range(count):
                name = f"veilmark-{'long' if long else 'quick'}-{number}"
                thread = threading.Thread(target=self._work, args=(long,), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def close(self, seconds: float = 10.0) -> None:
        """Stop the workers; what waits or runs is taken up by the next start."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                if job.state is JobState.RUNNING:
                    job.cancelling.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def sweep(self) -> None:
        """Remove what is older than results are kept, and what was left of uploads that broke off."""
        now = time.time()
        with self._changed:
            old = [
                job
                for job in self._jobs.values()
                if job.state.ended and job.ended + self._limits.keep_seconds < now
            ]
            for job in old:
                del self._jobs[job.id]
            known = {job.folder.name for job in self._jobs.values()}
        for folder in self._folder.iterdir():
            try:
                abandoned = folder.stat().st_mtime + _ABANDONED_SECONDS < now
            except OSError:
                continue
            if folder.name not in known and (abandoned or (folder / "job.json").exists()):
                shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------ what visitors do

    @contextmanager
    def preparing(self, kind: str, owner: str) -> Iterator[Job]:
        """A place in the queue and an empty folder for an upload; removed again unless the job is submitted.

        Raises:
            Busy: the queue is full, or this owner has too many jobs in it.
        """
        with self._changed:
            open_jobs = [job for job in self._jobs.values() if not job.state.ended]
            if len(open_jobs) + self._reserved >= self._limits.queue:
                raise Busy("there is too much to do here at the moment; try again soon", 10)
            if sum(job.owner == owner for job in open_jobs) >= self._limits.jobs_each:
                raise Busy("your other jobs are not finished yet; try again after that", 10)
            self._reserved += 1
        job = Job(secrets.token_urlsafe(16), kind, owner, self._folder)
        job.folder = self._folder / job.id
        try:
            for place in (job.folder, job.inbox, job.outbox):
                place.mkdir(mode=0o700)
            yield job
        finally:
            with self._changed:
                self._reserved -= 1
                taken = job.id in self._jobs
            if not taken:
                shutil.rmtree(job.folder, ignore_errors=True)

    def submit(self, job: Job) -> None:
        """Acknowledge a job: it is on disk when this returns."""
        job.save()
        with self._changed:
            self._jobs[job.id] = job
            self._waiting[self._kinds[job.kind].long].append(job)
            self._changed.notify_all()

    def proceed(self, job: Job, kind: str, options: Mapping[str, Any]) -> bool:
        """The owner's answer to what a job asked: it goes on as a job of another kind, under the same address.

        Args:
            options: are added to the job's.

        Returns:
            False where it asks nothing (any more).
        """
        with self._changed:
            if job.state is not JobState.DONE or not self._kinds[job.kind].asks or not job.inbox.is_dir():
                return False
            job.kind, job.state, job.attempts = kind, JobState.QUEUED, 0
            job.options, job.progress, job.words, job.note = {**job.options, **options}, 0.0, "", ""
            job.version += 1
        self.submit(job)
        return True

    def get(self, job_id: str, owner: str) -> Job | None:
        """A job of this owner; None where there is none, or it is somebody else's."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.owner == owner else None

    def of_owner(self, owner: str) -> list[Job]:
        """Jobs of this owner, the newest first."""
        with self._changed:
            own = [job for job in self._jobs.values() if job.owner == owner]
        return sorted(own, key=lambda job: -job.created)

    def ahead_of(self, job: Job) -> int:
        """How many jobs wait before this one."""
        with self._changed:
            waiting = self._waiting[self._kinds[job.kind].long]
            return waiting.index(job) if job in waiting else 0

    def cancel(self, job: Job) -> None:
        """Stop a job; one that ended stays as it is."""
        job.cancelling.set()
        with self._changed:
            waiting = self._waiting[self._kinds[job.kind].long]
            if job not in waiting:
                return  # it runs, and its worker sees it
            waiting.remove(job)
        self._end(job, JobState.CANCELLED)

    def forget(self, job: Job) -> None:
        """Remove a job that ended, with everything in its folder."""
        if not job.state.ended:
            return
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        with self._changed:
            states = [job.state for job in self._jobs.values()]
        return {state.value: states.count(state) for state in JobState}

    # ------------------------------------------------------------------ workers

    def _work(self, long: bool) -> None:
        while True:
            with self._changed:
                while not self._waiting[long] and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._waiting[long].popleft()
                job.state = JobState.RUNNING
            self._do(job)

    def _do(self, job: Job) -> None:
        job.attempts += 1
        try:
            if job.attempts > _MOST_ATTEMPTS:
                raise UsageError("this job ended the service each time it was tried", hint="try another file")
            job.save()
            job.tell(0.0)
            job.keep_result(self._kinds[job.kind].run(job))
        except CancelledError:
            if self._closing:
                job.attempts -= 1
                job.state = JobState.QUEUED
                job.save()
                return
            self._end(job, JobState.CANCELLED)
        except VeilmarkError as error:
            job.error, job.hint = self._scrub(str(error)), self._scrub(error.hint)
            job.exit_code = int(error.exit_code)
            self._end(job, JobState.FAILED)
        except Exception:
            _log.exception("job %s (%s) failed unexpectedly", job.id, job.kind)
            job.error, job.hint = (
                "something went wrong here; it was written down",
                "try again, or another file",
            )
            job.exit_code = int(ExitCode.UNREADABLE)
            self._end(job, JobState.FAILED)
        else:
            job.progress = 1.0
            self._end(job, JobState.DONE)

    def _end(self, job: Job, state: JobState) -> None:
        """That it ended is on disk first; then what was uploaded is removed; then everybody can see that it ended."""
        job.ended = time.time()
        try:
            job.save(state)
        except VeilmarkError:
            _log.exception("job %s: its end could not be written", job.id)
        self._clear(job, state)
        job.state = state
        job.version += 1

    def _clear(self, job: Job, state: JobState) -> None:
        """Remove what a job that ended needs no more."""
        if state is not JobState.DONE or not self._kinds[job.kind].asks:
            shutil.rmtree(job.inbox, ignore_errors=True)
        shutil.rmtree(job.working, ignore_errors=True)
        if state is not JobState.DONE:
            shutil.rmtree(job.outbox, ignore_errors=True)
