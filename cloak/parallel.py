"""Several detectors run at the same time, one processor core each.

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
MAX_WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], *, device: str | torch.device = "cpu"
) -> list[Result]:
    """``work`` done for every item, in the items' order; at the same time where torch may use several cores.

    Args:
        work: must not touch what the work on another item changes. Gradients are tracked as they are here.
        items: what to work on.
        device: where torch computes; anything but the CPU keeps itself busy and gets one item after the other.
    """
    pending = list(items)
    threads = torch.get_num_threads()
    if min(threads, len(pending)) < 2 or torch.device(device).type != "cpu":
        return [work(item) for item in pending]
    grad_enabled = torch.is_grad_enabled()

    def with_grad_mode(item: Item) -> Result:
        with torch.set_grad_enabled(grad_enabled):
            return work(item)

    return list(_pool(threads).map(with_grad_mode, pending))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Workers that may use a single thread of torch's each, as many as torch may use here."""
    workers = min(threads, MAX_WORKERS)
    pool = ThreadPoolExecutor(workers, "cloak", initializer=_use_one_thread)
    barrier = Barrier(
        workers
    )  # all of them start now, before the next line takes back what they said for everyone
    list(pool.map(lambda _: barrier.wait(), range(workers)))
    torch.set_num_threads(threads)
    return pool


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # else the first computation here would take over what is set elsewhere by then


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
