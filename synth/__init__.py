"""The measuring instrument: whatever it generates leaves signed and labelled as synthetic media.

* extraction/: faces from footage. swap/: the face swapper. lipsync/: the mouth led by sound.
* detect/: is it fake? measure/: what a cloak is worth, with report.py's pages.
* :func:`label_generated` (label.py) is the only door out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.label import label_generated

_HOMES = {"label_generated": "synth.label"}
__all__ = ["label_generated"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
