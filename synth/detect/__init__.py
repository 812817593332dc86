"""Is it fake? Six small detectors, what each saw, and a joint score. A score is no verdict.

* :func:`detect_file` (run.py) asks them all about a video or a picture.
* Each has its own file: blink.py, pulse.py, lips.py, networks/face.py (warp and blend), networks/splice.py.
* ``python -m synth.detect.training.train`` and ``...training.lips`` train them again; benchmarks/synth/detect.py and
  lips.py measure them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.detect.run import Detection as Detection
    from synth.detect.run import DetectOptions as DetectOptions
    from synth.detect.run import detect_file as detect_file

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "DetectOptions": "synth.detect.run",
        "Detection": "synth.detect.run",
        "detect_file": "synth.detect.run",
    },
)
