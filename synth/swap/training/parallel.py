"""Data-parallel training over the processes that torchrun started; with one process these functions do nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import distributed, nn

from provenance.errors import UsageError


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if _running() else 0


def world_size() -> int:
    return distributed.get_world_size() if _running() else 1


def is_first() -> bool:
    """Whether this process writes."""
    return rank() == 0


def join(device: str) -> str:
    """Join the process group when torchrun started this process; returns the device to use."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _running():
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return device


def average(weights: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one all-reduce."""
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([one.flatten() for one in gradients])
    distributed.all_reduce(flat)
    flat /= world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [one.numel() for one in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agreed(value: torch.Tensor) -> torch.Tensor:
    """The mean over all processes, so that all take the same decision."""
    if world_size() > 1:
        distributed.all_reduce(value)
        value = value / world_size()
    return value


def told_by_first(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What the first process finds, in all of them. The others wait, and none finds something a rounding away from it,
    by which they would decide otherwise and wait for each other for ever.

    Raises:
        UsageError: in all of them, where the first raised it.
    """
    if world_size() == 1:
        return work()
    said: list[Any] = [None, ""]
    if is_first():
        try:
            said[0] = work()
        except UsageError as error:
            said[1:] = [str(error)]
    distributed.broadcast_object_list(said, src=0)
    if said[0] is None:
        raise UsageError(said[1])
    return dict(said[0])


def anyone(said: bool, device: torch.device) -> bool:
    """Whether the value is true in any process."""
    if world_size() == 1:
        return said
    return bool(agreed(torch.tensor(float(said), device=device)) > 0)


def _running() -> bool:
    return distributed.is_available() and distributed.is_initialized()
