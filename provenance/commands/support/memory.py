"""Keep freed memory for the next file of a batch, instead of giving it back and asking for it again."""

from __future__ import annotations

import ctypes
import os
import sys

#: glibc's <malloc.h>: ``M_TRIM_THRESHOLD``, ``M_MMAP_THRESHOLD``, ``M_ARENA_MAX``.
_TRIM, _MMAP, _ARENAS = -1, -3, -8
#: Blocks under 32 MiB are reused; of what is free at the end of the heap, 128 MiB are kept.
_SETTINGS = ((_MMAP, 32 * 1024**2), (_TRIM, 128 * 1024**2), (_ARENAS, 2))


def keep_memory() -> bool:
    """Tell glibc's ``malloc`` to reuse blocks of the size of a decoded picture, for the rest of this process.

    By default it gives each back to the kernel, which fills new ones with zeros: some 3,000 page faults for a picture
    of 12 megapixels, 10 ms of processor time (docs/research/speed.md).

    Returns:
        whether it was done: not with another C library, nor where the environment sets ``MALLOC_*`` or
        ``GLIBC_TUNABLES``.
    """
    if not sys.platform.startswith("linux"):
        return False
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, ValueError):
        return False
    return all([mallopt(name, value) == 1 for name, value in _SETTINGS])  # noqa: C419 (all are to be made)
