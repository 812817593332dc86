"""The protocol: what a cloak is worth, by the same measures for clean data, cloaked data, and plain noise.

* :func:`measure_detectors` (detectors/): what face detectors see.
* :func:`measure_swap` (swap/), :func:`measure_lipsync` (lipsync/): what a generator learns; both are an experiment of
  experiment.py, which summary/ turns into a report.
* stats.py holds the tests and intervals, cache.py what is finished already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.measure.cache import Cache as Cache
    from synth.measure.detectors.experiment import DetectorOptions as DetectorOptions
    from synth.measure.detectors.experiment import measure_detectors as measure_detectors
    from synth.measure.lipsync.experiment import measure_lipsync as measure_lipsync
    from synth.measure.lipsync.options import LipsyncExperimentOptions as LipsyncExperimentOptions
    from synth.measure.run import ConsentBasis as ConsentBasis
    from synth.measure.run import Listener as Listener
    from synth.measure.run import Measured as Measured
    from synth.measure.run import run_detectors as run_detectors
    from synth.measure.run import run_lipsync as run_lipsync
    from synth.measure.run import run_swap as run_swap
    from synth.measure.swap.experiment import measure_swap as measure_swap
    from synth.measure.swap.options import SwapExperimentOptions as SwapExperimentOptions

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ConsentBasis": "synth.measure.run",
        "Cache": "synth.measure.cache",
        "DetectorOptions": "synth.measure.detectors.experiment",
        "LipsyncExperimentOptions": "synth.measure.lipsync.options",
        "Listener": "synth.measure.run",
        "Measured": "synth.measure.run",
        "SwapExperimentOptions": "synth.measure.swap.options",
        "measure_detectors": "synth.measure.detectors.experiment",
        "measure_lipsync": "synth.measure.lipsync.experiment",
        "measure_swap": "synth.measure.swap.experiment",
        "run_detectors": "synth.measure.run",
        "run_lipsync": "synth.measure.run",
        "run_swap": "synth.measure.run",
    },
)
