"""Searching for margin: so that a cloak carries further to detectors that it was not made against.

The plain search stops once every attacked detector misses the faces, and leaves alone what is fooled already; what it
spends least on is what other detectors need most. Here every step is made, every detector counts alike in every step,
fooled or not, and a face counts as hidden only far below a detector's threshold. The noise stays within the same
limits; only time is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from torch import Tensor

from cloak.attack import Search, optimise
from cloak.detectors.base import FaceDetector
from cloak.task import Condition, Goals, Outcome, Schedule, Task

#: Logits below a detector's threshold from which on a face counts as hidden with margin.
MARGIN = 6.0


class Thorough(Search):
    """A search that rests nobody and asks for :data:`MARGIN`."""

    margin = MARGIN

    def _weight(self, detector: FaceDetector, met: Sequence[Condition], distance: float) -> float:
        super()._weight(detector, met, distance)
        return 1.0

    def _rests(self, detector: FaceDetector) -> bool:
        return False


def optimise_for_transfer(
    task: Task,
    detectors: Sequence[FaceDetector],
    met: Sequence[Condition],
    *,
    goals: Goals | None = None,
    schedule: Schedule | None = None,
    start: Tensor | None = None,
    stubborn: Collection[tuple[str, str]] = (),
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """As :func:`cloak.attack.optimise`, with every step spent on margin against every detector."""
    schedule = schedule or Schedule()
    return optimise(
        task,
        detectors,
        met,
        goals=goals,
        schedule=replace(schedule, least=schedule.steps),
        start=start,
        stubborn=stubborn,
        progress=progress,
        search=Thorough,
    )
