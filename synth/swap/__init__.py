"""Face swapping, the classic way: one encoder for two people, one decoder for each.

It exists to be measured: trained on clean and on cloaked faces with the same seeds, it tells what a cloak is worth.

* :func:`make_swap` (make.py) is the use case: consent, swap, label, record.
* :func:`train` (training/train.py) is the loop; training/schedule.py says which phase comes when.
* :class:`Generator` (model.py) and its critic (training/critic.py) are networks only; config.py holds the presets.
* :class:`Swapper` (conversion/convert.py) puts a model's faces into frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.swap.config import PRESETS as PRESETS
    from synth.swap.config import Preset as Preset
    from synth.swap.conversion.convert import Swapper as Swapper
    from synth.swap.make import SwapRequest as SwapRequest
    from synth.swap.make import SwapResult as SwapResult
    from synth.swap.make import make_swap as make_swap
    from synth.swap.model import Generator as Generator
    from synth.swap.training.train import train as train

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "SwapResult": "synth.swap.make",
        "SwapRequest": "synth.swap.make",
        "make_swap": "synth.swap.make",
        "PRESETS": "synth.swap.config",
        "Preset": "synth.swap.config",
        "Generator": "synth.swap.model",
        "Swapper": "synth.swap.conversion.convert",
        "train": "synth.swap.training.train",
    },
)
