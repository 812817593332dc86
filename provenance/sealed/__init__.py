"""The signed original of a cloaked file, encrypted, for those who were granted its key.

Three use cases: :func:`seal_original` when a file is cloaked, :func:`open_sealed` for who holds a key, and
:func:`grant_access` for one more person. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"seal_original": "seal", "open_sealed": "unseal", "grant_access": "unseal"}
__all__ = ["grant_access", "open_sealed", "seal_original"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
