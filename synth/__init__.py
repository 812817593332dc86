"""The measuring instrument. Whatever it generates is signed and labelled as synthetic media.

* ``extraction``: faces from footage. ``swap``: the face swapper. ``lipsync``: a mouth led by sound.
* ``detect``: is it fake? ``measure``: what a cloak is worth; ``report`` writes a measurement as a page.
* ``consent``: whether footage may be used.
* :func:`label_generated` (label.py) is the only door out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.label import Generated as Generated
    from synth.label import label_generated as label_generated
    from synth.label import label_picture as label_picture
    from synth.lipsync.make import LipsyncRequest as LipsyncRequest
    from synth.lipsync.make import LipsyncResult as LipsyncResult
    from synth.lipsync.make import make_lipsync as make_lipsync
    from synth.swap.make import SwapRequest as SwapRequest
    from synth.swap.make import SwapResult as SwapResult
    from synth.swap.make import make_swap as make_swap

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "label_picture": "synth.label",
        "Generated": "synth.label",
        "LipsyncResult": "synth.lipsync.make",
        "LipsyncRequest": "synth.lipsync.make",
        "make_lipsync": "synth.lipsync.make",
        "SwapResult": "synth.swap.make",
        "SwapRequest": "synth.swap.make",
        "make_swap": "synth.swap.make",
        "label_generated": "synth.label",
    },
)
