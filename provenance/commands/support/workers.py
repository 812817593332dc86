"""Who does the work of a command: processes here, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import note

if TYPE_CHECKING:
    from provenance.bulk.executor import Executor

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Work on a Ray cluster: auto, local, or HOST:PORT. Its nodes must see the same files.",
    ),
]
Processes = Annotated[int, typer.Option("--jobs", min=1, max=64, help="Files worked on at the same time.")]


@contextmanager
def workers_for(cluster: str | None, jobs: int) -> Iterator[Executor | None]:
    """The executor that was asked for; None where one file after the other is done in this process."""
    if cluster is None:
        if jobs == 1:
            yield None
            return
        from provenance.bulk.processes import ProcessExecutor

        yield ProcessExecutor(jobs)
        return
    from provenance.bulk.cluster import ClusterExecutor

    executor = ClusterExecutor(cluster, jobs if jobs > 1 else 0, tell=note)
    try:
        yield executor
    finally:
        executor.close()
