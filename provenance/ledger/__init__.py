"""Transparency log: an embedded RFC 9162 tree, signed checkpoints, offline receipts.

The names below are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LocalLedger": "local",
    "Entry": "rows",
    "Ledger": "base",
    "Receipt": "receipt",
    "Checkpoint": "note",
    "Note": "note",
    "Policy": "policy",
}
__all__ = ["Checkpoint", "Entry", "Ledger", "LocalLedger", "Note", "Policy", "Receipt"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
