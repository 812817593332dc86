"""From footage to a set of aligned faces: detect, align, filter, sort, de-duplicate.

* :func:`extract_faces` (run.py) is the pipeline; its comments number its steps.
* :class:`FaceSet` (faceset.py) loads what it wrote, for training and for measuring.
* :class:`Alignments` (alignments.py) is the file ``alignments.json``: every frame's outcome, editable by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.extraction.alignments import Alignments as Alignments
    from synth.extraction.faceset import FaceSet as FaceSet
    from synth.extraction.run import extract_faces as extract_faces

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Alignments": "synth.extraction.alignments",
        "FaceSet": "synth.extraction.faceset",
        "extract_faces": "synth.extraction.run",
    },
)
