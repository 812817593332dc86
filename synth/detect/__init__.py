"""Is it fake? Five small detectors, what each saw, and a joint score. A score is no verdict.

* :func:`detect_file` (run.py) asks them all about a video or a picture.
* Each has its own file: blink.py, pulse.py, face_net.py (warp and blend), splice_net.py.
* ``python -m synth.detect.training.train`` teaches them again; benchmarks/synth/detect.py measures them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.detect.run import Detection, DetectOptions, detect_file

_HOMES = {
    "DetectOptions": "synth.detect.run",
    "Detection": "synth.detect.run",
    "detect_file": "synth.detect.run",
}
__all__ = ["DetectOptions", "Detection", "detect_file"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
