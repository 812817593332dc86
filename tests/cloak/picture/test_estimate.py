"""Time notes come from real steps: what was expected is compared with what it took, on this very machine."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from cloak import CloakOptions, cloak_bytes
from cloak.picture.estimate import WorkEstimate
from provenance.media.picture import open_picture


def test_times_are_told_in_the_unit_that_fits() -> None:
    assert "about 20 to 45 seconds, at most 78" in str(WorkEstimate(1, 1, 60, 3, 30.0, 78.0))
    said = str(WorkEstimate(25, 9, 31, 3, 600.0, 2400.0))
    assert said.startswith("25 faces to hide, in 9 patches") and "about 7 to 15 minutes, at most 40" in said
    assert str(WorkEstimate(1, 1, 60, 1, 0.4, 0.4)).endswith("about 1 seconds")


@pytest.mark.parametrize("attack", ["ensemble", "torchattacks:PGD"])
def test_what_is_expected_is_what_it_takes(portraits: dict[str, np.ndarray], attack: str) -> None:
    """In seconds of this process, so that other programs do not count: within a factor of three even on a face as
    small as this, and no search outlasts the longest.
    """
    buffer = io.BytesIO()
    Image.fromarray(portraits["astronaut"][:288, 80:368]).save(buffer, "PNG")
    options = CloakOptions(detectors=("mtcnn", "centerface"), judges=(), steps=30, attack=attack)
    told: list[WorkEstimate] = []
    began: list[float] = []

    def start(estimate: WorkEstimate) -> None:
        told.append(estimate)
        began.append(time.perf_counter())

    cloak_bytes(open_picture(buffer.getvalue()), options, on_estimate=start)
    took, (estimate,) = time.perf_counter() - began[0], told
    assert estimate.expected / 3 < took < 3 * estimate.expected, (took, estimate)
    assert took < 2 * estimate.longest
