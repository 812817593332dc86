"""The measuring instrument: whatever it generates leaves signed and labelled as synthetic media.

* extraction/: faces from footage. swap/: the face swapper. lipsync/: the mouth led by sound.
* detect/: is it fake? measure/: what a cloak is worth, with report.py's pages.
* :func:`label_generated` (label.py) is the only door out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.label import label_generated as label_generated

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "label_generated": "synth.label",
    },
)
