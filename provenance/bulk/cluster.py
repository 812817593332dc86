"""The executor of a Ray cluster: an actor for each worker, begun once; tasks go to those that are free."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from provenance.bulk.executor import MAX_SKEW, Job, Outcome
from provenance.bulk.feed import Feed
from provenance.errors import CheckError, UsageError, VeilmarkError
from provenance.version import VERSION

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere

import ray
from ray.exceptions import RayActorError

_AHEAD = 16
#: After so long without a worker somebody is told, and after so long we give up: nodes may have to be started first.
_TOLD_AFTER, _PATIENCE = 60.0, 600.0
#: So long the cluster's head may take to answer at all.
_KNOCK = 10.0


class _Actor:
    """A worker; what it is made of lives on its node."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._work: Callable[[Any], Any] | None = None
        self._fault: VeilmarkError | None = None

    def begin(self, job: Job) -> tuple[str, float, str]:
        """Load what the job needs; gives this worker's version, clock and node."""
        try:
            self._work = self._stack.enter_context(job.open())
        except VeilmarkError as error:
            self._fault = error
        return VERSION, time.time(), str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]

    def work(self, task: Any) -> Outcome:
        """Do one task."""
        if self._fault is not None or self._work is None:
            return self._fault
        try:
            return self._work(task)
        except VeilmarkError as error:
            return error


class ClusterExecutor:
    """Workers of a Ray cluster.

    Files are named by the paths that this machine knows them by: every node must see them there.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``local`` for one of this machine alone,
            ``HOST:PORT`` or ``ray://HOST:PORT``.
        workers: how many; 0 for one on each core of the cluster.
        tell: called with what a person should know, one sentence each.

    Raises:
        CheckError: the cluster cannot be reached.
    """

    def __init__(
        self, address: str, workers: int = 0, *, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._tell = tell
        self._ours = not ray.is_initialized()
        if self._ours:
            where = None if address == "local" else address
            try:
                _knock(address)
                options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
                if where is None:
                    options["include_dashboard"] = False
                ray.init(address=where, **options)
            except Exception as error:  # Ray raises many kinds, a bare one for a node that starts slowly
                raise CheckError(
                    f"the Ray cluster {address} cannot be reached: {' '.join(str(error).split())[:200]}",
                    hint="start one with `ray start --head`, or use --cluster local"
                    if where
                    else "if this machine is busy, try again later, or use --jobs",
                ) from error
        self._workers = workers or max(1, int(_resources().get("CPU", 1)))
        self._warned: set[str] = set()

    def close(self) -> None:
        """Leave the cluster, where we joined it."""
        if self._ours:
            ray.shutdown()

    def results(self, job: Job, tasks: Iterable[Any]) -> Iterator[list[Outcome]]:
        """See :meth:`provenance.bulk.executor.Executor.results`."""
        feed = Feed(tasks, _AHEAD * self._workers)
        needs: dict[str, Any] = {"num_gpus": getattr(job, "gpus", 0), "memory": getattr(job, "memory", 0)}
        kind: Any = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD", **needs)(_Actor)
        shared = ray.put(job)
        beginning: dict[Any, tuple[Any, float]] = {}
        idle: list[Any] = []
        busy: dict[Any, tuple[Any, int, Any]] = {}
        seen, told = time.monotonic(), False

        def hire() -> None:
            actor = kind.remote()
            beginning[actor.begin.remote(shared)] = actor, time.time()

        try:
            for _ in range(self._workers):
                hire()
            while True:
                while idle and (taken := feed.take()) is not None:
                    actor = idle.pop()
                    busy[actor.work.remote(taken[1])] = (actor, *taken)
                if not busy and feed.done:
                    return
                waiting = [*busy, *beginning]
                found, _ = ray.wait(waiting, num_returns=1, timeout=5.0) if waiting else ([], [])
                for reference in found:
                    if reference in beginning:
                        actor, asked = beginning.pop(reference)
                        try:
                            self._greet(ray.get(reference), asked)
                        except RayActorError:
                            hire()
                        else:
                            idle.append(actor)
                            seen = time.monotonic()
                        continue
                    actor, number, task = busy.pop(reference)
                    try:
                        feed.put(number, ray.get(reference))
                        idle.append(actor)
                    except RayActorError:
                        self._tell(f"a worker died; {str(task)[:120]} is given to another")
                        feed.lost(number, task)
                        hire()
                if busy or idle:
                    seen, told = time.monotonic(), False
                elif not told and time.monotonic() - seen > _TOLD_AFTER:
                    self._tell(
                        "waiting for the cluster to begin a worker; `ray status` says what it is short of"
                    )
                    told = True
                elif time.monotonic() - seen > _PATIENCE:
                    raise CheckError("the cluster has no worker for us", hint="look at `ray status`")
                if ready := feed.ready():
                    yield ready
        finally:
            for actor in [
                *idle,
                *(actor for actor, *_ in busy.values()),
                *(one for one, _ in beginning.values()),
            ]:
                ray.kill(actor)

    def _greet(self, about: tuple[str, float, str], asked: float) -> None:
        """Refuse a worker of another version; tell where its clock is off."""
        version, clock, node = about
        if version != VERSION:
            raise UsageError(
                f"the worker on {node} has veilmark {version}, this machine has {VERSION}",
                hint="install the same version everywhere",
            )
        now = time.time()
        skew = clock - now if clock > now else min(clock - asked, 0.0)
        if abs(skew) > MAX_SKEW and node not in self._warned:
            self._warned.add(node)
            self._tell(
                f"warning: the clock of {node} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}; "
                "the times in what it signs are wrong by that"
            )


def _knock(address: str) -> None:
    """See that somebody listens there: Ray itself goes on trying for ten minutes.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK).close()


def _resources() -> dict[str, float]:
    found: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return dict(found)
