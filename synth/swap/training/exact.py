"""The same numbers each time: what a graphics card is told, so that a resumed run is the run that was not stopped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

#: cuBLAS gives the same result each time with this workspace alone; it reads it when it is first used.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Let PyTorch choose algorithms that give the same numbers each time; on a CPU it does so anyway.

    Where it has none (the gradient of resampling, which the feature loss needs) it goes on: what a run that was stopped
    and resumed makes on a graphics card may then differ by roundings.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault(*_WORKSPACE)
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[2:]


def exact(work: Callable[P, R]) -> Callable[P, R]:
    """A function that takes the keyword ``device``, done :func:`exactly`."""

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> R:
        with exactly(torch.device(str(kwargs.get("device", "cpu")))):
            return work(*args, **kwargs)

    return done
