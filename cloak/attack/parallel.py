"""Several detectors asked at the same time, one processor core each.

A detector's layers are too small to keep two cores busy; two detectors are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

#: More workers than this only wait for memory.
MOST_WORKERS = 8

Given = TypeVar("Given")
Made = TypeVar("Made")


def each(
    work: Callable[[Given], Made], items: Iterable[Given], *, device: str | torch.device = "cpu"
) -> list[Made]:
    """``work`` done for every item, in the items' order; at the same time where torch may use several cores.

    Args:
        work: must not touch what the work on another item changes. Gradients are tracked as they are here.
        items: what to work on.
        device: where torch computes; anything but the CPU keeps itself busy and gets one item after the other.
    """
    todo = list(items)
    threads = torch.get_num_threads()
    if min(threads, len(todo)) < 2 or torch.device(device).type != "cpu":
        return [work(item) for item in todo]
    tracked = torch.is_grad_enabled()

    def as_here(item: Given) -> Made:
        with torch.set_grad_enabled(tracked):
            return work(item)

    return list(_pool(threads).map(as_here, todo))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Workers that may use a single thread of torch's each, as many as torch may use here."""
    workers = min(threads, MOST_WORKERS)
    pool = ThreadPoolExecutor(workers, "cloak", initializer=_alone)
    together = Barrier(
        workers
    )  # all of them start now, before the next line takes back what they said for everyone
    list(pool.map(lambda _: together.wait(), range(workers)))
    torch.set_num_threads(threads)
    return pool


def _alone() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # else the first computation here would take over what is set elsewhere by then


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
