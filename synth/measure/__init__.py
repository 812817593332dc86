"""The protocol: what a cloak is worth, by the same measures for clean data, cloaked data, and plain noise.

* :func:`measure_detectors` (detectors/): what face detectors see.
* :func:`measure_swap` (swap/), :func:`measure_lipsync` (lipsync/): what a generator learns; both are an experiment of
  experiment.py, which summary/ turns into a report.
* stats.py holds the tests and intervals, cache.py what is finished already.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.measure.detectors.experiment import measure_detectors
    from synth.measure.lipsync.experiment import measure_lipsync
    from synth.measure.swap.experiment import measure_swap

_HOMES = {
    "measure_detectors": "synth.measure.detectors.experiment",
    "measure_lipsync": "synth.measure.lipsync.experiment",
    "measure_swap": "synth.measure.swap.experiment",
}
__all__ = ["measure_detectors", "measure_lipsync", "measure_swap"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
