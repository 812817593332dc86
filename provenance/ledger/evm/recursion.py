"""Python's recursion limit, as it was before eth-account was imported.

py_ecc, which eth-account brings along, raises the limit to 100,000 when it is imported. A deeply nested JSON file,
anywhere in the program, would then end it by a segmentation fault instead of a RecursionError, so the modules here that
import eth-account put the limit back. The package imports this module first.
"""

from __future__ import annotations

import sys

_LIMIT = min(sys.getrecursionlimit(), 10_000)


def restore_recursion_limit() -> None:
    """Undo what importing eth-account did to the recursion limit."""
    sys.setrecursionlimit(min(sys.getrecursionlimit(), _LIMIT))
