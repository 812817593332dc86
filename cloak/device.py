"""Where torch computes."""

from __future__ import annotations

import os

from provenance.errors import UsageError


def usable_device(name: str) -> str:
    """The device's name if torch has it.

    Raises:
        UsageError: it has not.
    """
    import torch

    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"no device is called {name[:40]!r}", hint="cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("torch sees no CUDA device here", hint="use --device cpu")
    if name == "cpu" and "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > 16:
        torch.set_num_threads(16)
    return name


def share_cores(workers: int) -> None:
    """Let torch, in this worker, use its part of this machine's cores.

    Args:
        workers: so many share them; 0 leaves torch as it is, as where a cluster gives each worker its cores.
    """
    import torch

    if workers:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
