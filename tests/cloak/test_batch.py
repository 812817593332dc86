"""What is settled before several pictures are cloaked: who looks, how many at once, and that detectors load once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cloak import CloakOptions
from cloak.commands.batch import available_memory, jobs_that_fit, who_looks_note
from cloak.detectors import DETECTORS, available
from cloak.evaluate.detect import DetectorLoader, detect_all
from provenance.errors import UsageError


def test_detectors_are_loaded_once_in_each_thread() -> None:
    options = CloakOptions(detectors=("centerface",), judges=("haar-alt2",))
    loader = DetectorLoader(options)
    pixels = np.full((64, 64, 3), 90, np.uint8)
    first, second = (detect_all(pixels, options, loader).detectors for _ in range(2))
    assert first is second and detect_all(pixels, options).detectors is not first
    other: list[object] = []
    thread = threading.Thread(target=lambda: other.append(loader()))
    thread.start()
    thread.join()
    assert other and other[0] is not first


def test_as_many_at_once_as_memory_holds() -> None:
    told: list[str] = []
    gib = 1 << 30
    assert jobs_that_fit(4, tell=told.append, free=64 * gib) == 4 and not told
    assert jobs_that_fit(4, tell=told.append, free=7 * gib) == 2
    assert jobs_that_fit(4, tell=told.append, free=0) == 1
    assert [line[:12] for line in told] == ["note: 2 at a", "note: 1 at a"]
    free = available_memory()
    assert free is None or free > 1 << 20


def test_the_note_names_attacked_judges_and_absent() -> None:
    said = who_looks_note(CloakOptions(strength="high", detectors=("mtcnn",), judges=("haar-alt2",)))
    assert said.startswith("strength high: works against mtcnn; haar-alt2 only judges")
    everybody = who_looks_note(CloakOptions())
    assert ("not here" in everybody) == (len(available()) < len(DETECTORS))
    for wrong in (CloakOptions(detectors=("haar-alt2",)), CloakOptions(judges=("nobody",))):
        with pytest.raises(UsageError):
            who_looks_note(wrong)
