"""What ``veilmark cloak`` says and settles before a batch begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloak.bulk import BYTES_PER_PICTURE
from cloak.evaluate.presence import chosen_detectors, missing_detectors, who_looks
from cloak.options import CloakOptions

_MEMINFO = Path("/proc/meminfo")


def who_looks_note(options: CloakOptions) -> str:
    """One line: which detectors the cloak works against, which only judge, and which known ones are not here.

    Raises:
        UsageError: an unknown detector, or one that cannot be attacked.
    """
    attacked, judging = chosen_detectors(options)
    brought = tuple(one.path.name for one in options.brought)
    said = who_looks((*attacked, *brought), judging, missing_detectors(options.weights))
    return f"strength {options.level}: {said}; others may still find the face"


def jobs_that_fit(wanted: int, *, tell: Callable[[str], None], free: int | None = None) -> int:
    """How many pictures are cloaked at the same time, at most as many as are wanted.

    Args:
        wanted: at least 1.
        tell: called with the reason when there are fewer than wanted.
        free: bytes of memory that may be used; None asks the system.
    """
    free = available_memory() if free is None else free
    fitting = wanted if free is None else max(1, min(wanted, free // BYTES_PER_PICTURE))
    if fitting < wanted and free is not None:
        tell(f"note: {fitting} at a time, for {free / (1 << 30):.1f} GiB of memory are free")
    return fitting


def available_memory() -> int | None:
    """Bytes that programs can have without swapping; None where the system does not say."""
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
