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
