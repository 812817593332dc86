"""Bars around a picture: what counts as one, and pictures that are nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from provenance.fingerprint.bars import Bars, find_bars


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 10, 200]))
    )
)
def test_bars_lie_inside_any_picture(grey: np.ndarray) -> None:
    bars = find_bars(grey)
    height, width = grey.shape
    assert min(bars) >= 0
    assert bars.top + bars.bottom <= height
    assert bars.left + bars.right <= width
    if bars.matter(grey):
        assert bars.cut(grey).size > 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_picture_of_two_plain_bands_has_nothing_inside(turned: bool) -> None:
    grey = np.vstack([np.full((60, 9), 20, np.uint8), np.full((30, 9), 200, np.uint8)])
    if turned:
        grey = np.ascontiguousarray(grey.T)
    assert not find_bars(grey).matter(grey)


def test_a_letterbox_is_measured() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    grey[:15] = grey[-15:] = 0
    assert find_bars(grey) == Bars(15, 15, 0, 0)
    assert find_bars(grey).matter(grey)
