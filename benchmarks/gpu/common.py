"""Clocks, rates and memory, the same for every block; torch alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def synchronise(device: str) -> None:
    """Wait for the card."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], Any], device: str, *, warm: int = 3, runs: int = 10) -> float:
    """Seconds of one call, the median of some, after a warm-up."""
    for _ in range(warm):
        work()
    synchronise(device)
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        synchronise(device)
        took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2]


def busy_share(work: Callable[[], Any], device: str, runs: int = 5) -> float | None:
    """Share of the time in which a kernel ran on the card; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    work()
    synchronise(device)
    kinds = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds) as seen:
        began = time.perf_counter()
        for _ in range(runs):
            work()
        synchronise(device)
        wall = time.perf_counter() - began
    kernels = sum(
        event.self_device_time_total for event in seen.key_averages() if event.device_type.name == "CUDA"
    )
    return round(min(1.0, float(kernels) / 1e6 / wall), 4)


def peak_memory(device: str) -> int | None:
    """Most bytes held on the card since :func:`forget_memory`; None on a CPU."""
    return int(torch.cuda.max_memory_allocated()) if device.startswith("cuda") else None


def forget_memory(device: str) -> None:
    """Begin to count anew."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def product_rate(device: str, kind: torch.dtype, side: int, *, tf32: bool = False) -> float:
    """Floating-point operations a second of a square matrix product."""
    first, second = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        took = seconds_of(lambda: first @ second, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    return 2 * side**3 / took
