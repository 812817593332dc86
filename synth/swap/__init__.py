"""Face swapping, the classic way: one encoder for two people, one decoder for each.

It exists to be measured: trained on clean and on cloaked faces with the same seeds, it tells what a cloak is worth.

* :func:`train` (train.py) is the loop, readable in one sitting; schedule.py says which phase comes when.
* :class:`Generator` and :class:`Critic` (model.py, critic.py) are the networks, pure; config.py holds the presets.
* :class:`Swapper` (convert.py) puts a model's faces into frames; video.py runs it over footage.
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
