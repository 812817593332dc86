"""What a training takes is told before it begins."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from synth.swap.training.forecast import in_words, seconds_of
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin


def test_the_forecast_is_about_right(tmp_path: Path) -> None:
    """Of steps long enough to be timed beside other work: within a factor of four."""
    preset = minute_preset(12, batch=16, check_every=1000, generator_share=1.0, critic_share=0.0)
    preset = replace(preset, architecture=replace(preset.architecture, width=12))
    moments: list[float] = []
    train(
        {"a": drawn_bank(1), "b": drawn_bank(2)},
        origin(preset),
        tmp_path,
        progress=lambda _: moments.append(time.perf_counter()),
    )
    step = (moments[-1] - moments[0]) / (len(moments) - 1)
    assert 0.25 < seconds_of(preset, ("a", "b"), "cpu") / (12 * step) < 4


@pytest.mark.parametrize(
    "seconds, said", [(20, "a minute"), (2000, "33 minutes"), (9000, "2 hours"), (750_000, "9 days")]
)
def test_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
