"""Face swapping, the classic way: one encoder for two people, one decoder for each.

It exists to be measured: trained on clean and on cloaked faces with the same seeds, it tells what a cloak is worth.

* :func:`train` (train.py) is the loop, readable in one sitting; schedule.py says which phase comes when.
* :class:`Generator` and :class:`Critic` (model.py, critic.py) are the networks, pure; config.py holds the presets.
* :class:`Swapper` (convert.py) puts a model's faces into frames; video.py runs it over footage.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.swap.config import PRESETS, Preset
    from synth.swap.conversion.convert import Swapper
    from synth.swap.model import Generator
    from synth.swap.training.train import train

_HOMES = {
    "PRESETS": "synth.swap.config",
    "Preset": "synth.swap.config",
    "Generator": "synth.swap.model",
    "Swapper": "synth.swap.conversion.convert",
    "train": "synth.swap.training.train",
}
__all__ = ["PRESETS", "Generator", "Preset", "Swapper", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
