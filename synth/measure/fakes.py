"""What the fake detectors say about a clip."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from provenance.errors import MissingModelError


@lru_cache(maxsize=1)
def names() -> dict[str, str]:
    """The fake detectors' names, and under ``edition`` a hash of their code and weights; empty where there are none."""
    found = importlib.util.find_spec("synth.detect")
    if found is None or found.origin is None or not found.submodule_search_locations:
        return {}
    from synth.detect.base import DETECTORS

    whole = hashlib.sha256()
    for path in sorted(Path(found.origin).parent.rglob("*")):
        if path.suffix in (".py", ".safetensors", ".json"):
            whole.update(path.name.encode() + path.read_bytes())
    return {**DETECTORS, "edition": whole.hexdigest()}


def scores(clip: Path, device: str) -> dict[str, float | None]:
    """By detector, and ``joint``: 0 (nothing found) to 1 (a fake); None where it could not judge. Empty without
    detectors, or without the weights that they learned.
    """
    if not names():
        return {}
    from synth.detect import DetectOptions, detect_file

    try:
        found = detect_file(clip, DetectOptions(device=device))
    except MissingModelError:
        return {}
    every = {**found.scores, "joint": found.joint}
    return {name: None if score is None else round(float(score), 5) for name, score in every.items()}
