"""Content-addressed storage of manifests and receipts; names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"ContentStore": "base", "LocalStore": "local", "cid_of": "unixfs"}
__all__ = ["ContentStore", "LocalStore", "cid_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
