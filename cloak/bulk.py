"""What a worker does when many files are cloaked: everything but signing and logging.

A worker loads its detectors once, and needs no key; see :mod:`provenance.bulk.executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloak.publish import Prepared, PublishRequest, PublishResult, finish_published
from provenance.errors import VeilmarkError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.session import Session

#: Memory that the search on one picture may take, with all detectors and several faces.
BYTES_PER_PICTURE = 3 << 30


@dataclass(frozen=True)
class ToCloak:
    """A file to cloak, and where it goes."""

    source: Path
    output: Path

    def __str__(self) -> str:
        return str(self.source)


@dataclass(frozen=True)
class CloakJob:
    """Cloak files. A task is :class:`ToCloak`, its result :class:`cloak.publish.Prepared`.

    Attributes:
        signing: whether the results will be signed.
        home: its ledger is searched for what is cloaked already; workers elsewhere must see it there.
        workers: so many share this machine's cores; 0 on a cluster, which says how many cores each may use.
    """

    request: PublishRequest
    signing: bool
    home: Home
    force: bool = False
    workers: int = 0

    @property
    def memory(self) -> int:
        """Bytes that a worker needs."""
        return BYTES_PER_PICTURE

    @property
    def gpus(self) -> int:
        """GPUs that a worker needs to itself."""
        return int(self.request.options.device != "cpu")

    @contextmanager
    def open(self) -> Iterator[Callable[[ToCloak], Prepared]]:
        from cloak.device import share_cores
        from cloak.evaluate.detect import DetectorLoader
        from cloak.publish import prepare_published

        share_cores(self.workers)
        loader = DetectorLoader(self.request.options)

        def work(task: ToCloak) -> Prepared:
            return prepare_published(
                task.source,
                task.output,
                self.request,
                signing=self.signing,
                home=self.home,
                force=self.force,
                loader=loader,
            )

        yield work


def sign_cloaked(
    items: Sequence[Prepared], request: PublishRequest, session: Session | None, *, force: bool = False
) -> list[PublishResult | VeilmarkError]:
    """Sign and record what workers cloaked, and put each in its place."""
    results: list[PublishResult | VeilmarkError] = []
    for place, item in enumerate(items):
        try:
            results.append(finish_published(item, request, session, force=force))
        except VeilmarkError as error:
            results.append(error)
        except BaseException:
            for other in items[place:]:
                other.drop()
            raise
    return results
