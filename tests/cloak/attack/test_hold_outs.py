"""A detector that finds a face for certain is no hold-out while it becomes less certain."""

from __future__ import annotations

import random

import pytest
import torch

from cloak import detectors
from cloak.attack.conditions import publication_conditions
from cloak.attack.noise_change import NoiseChange
from cloak.attack.search import _Search
from cloak.attack.task import Goals, Schedule, Task


@pytest.fixture
def search() -> _Search:
    loaded = [detectors.load("centerface"), detectors.load("mtcnn")]
    size = (1, 1, 64, 64)
    task = Task(
        torch.full((1, 3, 64, 64), 0.5), torch.tensor([[16.0, 16.0, 48.0, 48.0]]), torch.full(size, 0.1)
    )
    schedule, rng = Schedule(steps=12), random.Random(0)
    change = NoiseChange(task, schedule, rng, None)
    return _Search(task, loaded, publication_conditions(None), Goals(), schedule, rng, change)


@pytest.mark.parametrize(
    ("distances", "held"),
    [
        ([8 - 0.5 * step for step in range(12)], []),  # far from evaded all the time, and falling
        ([8.0] * 12, ["centerface"]),
        ([2.0] * 6 + [0.1] * 6, []),
    ],
)
def test_who_holds_out(search: _Search, distances: list[float], held: list[str]) -> None:
    centerface, mtcnn = search.detectors
    for distance in distances:
        search._weight(centerface, search.conditions[0], distance)
        search._weight(mtcnn, search.conditions[0], 0.0)
    assert search._hold_outs() == held and not search.none_falls()


def test_a_search_ends_where_no_detector_falls(search: _Search) -> None:
    for one in search.detectors:
        for _ in range(9):
            search._weight(one, search.conditions[0], 5.0)
    assert search.none_falls()
