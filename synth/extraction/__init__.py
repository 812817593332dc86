"""From footage to a set of aligned faces: detect, align, filter, sort, de-duplicate.

* :func:`extract_faces` (run.py) is the pipeline; its comments number its steps.
* :class:`FaceSet` (faceset.py) loads what it wrote, for training and for measuring.
* :class:`Alignments` (alignments.py) is the file ``alignments.json``: every frame's fate, editable by hand.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.extraction.alignments import Alignments
    from synth.extraction.faceset import FaceSet
    from synth.extraction.run import extract_faces

_HOMES = {
    "Alignments": "synth.extraction.alignments",
    "FaceSet": "synth.extraction.faceset",
    "extract_faces": "synth.extraction.run",
}
__all__ = ["Alignments", "FaceSet", "extract_faces"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
