"""The machine: what it is, and what it multiplies and copies in a second."""

from __future__ import annotations

import argparse
import platform
from typing import Any

import torch

from benchmarks.gpu.common import product_rate, seconds_of


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Rates of matrix products in bf16, TF32 and fp32, and of copying."""
    device, side = asked.device, 256 if asked.dry_run else 8192
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "name": torch.cuda.get_device_name(0) if device.startswith("cuda") else platform.machine(),
        "side": side,
        "bf16 flop/s": product_rate(device, torch.bfloat16, side),
        "tf32 flop/s": product_rate(device, torch.float32, side, tf32=True),
        "fp32 flop/s": product_rate(device, torch.float32, side),
    }
    block = torch.empty((1 << 20) if asked.dry_run else (1 << 30), dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    found["copied bytes/s"] = 2 * block.numel() / seconds_of(lambda: other.copy_(block), device)
    return found
