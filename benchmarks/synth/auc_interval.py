"""How sure an area under the ROC curve is, where clips of one person are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def auc_interval(
    real: Sequence[tuple[str, float]],
    fake: Sequence[tuple[str, float]],
    *,
    draws: int = 4000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """A 95 % interval of :func:`auc` by the percentile bootstrap over people (Efron, Annals of Statistics 7, 1979).

    Clips of one person are alike, so people are drawn with replacement, each with all of their clips, real and fake.
    One who is drawn twice is two people with the same clips, whose clips are not compared with each other's: that would
    count pairs within a person, in which the fake is easier to tell, twice as often as the area itself does.

    Args:
        real, fake: person and score of each clip.
        draws: so many samples; those without a real or without a fake clip are left out.
        seed: of the draws.

    Returns:
        Lower and upper bound, 0 to 1; None with fewer than two people, or where one class is missing.
    """
    people = sorted({person for person, _ in (*real, *fake)})
    if len(people) < 2 or not real or not fake:
        return None
    place = {person: number for number, person in enumerate(people)}
    wins = np.zeros((len(people), len(people)))
    numbers = np.zeros((2, len(people)))
    for person, _ in real:
        numbers[0, place[person]] += 1
    for person, value in fake:
        numbers[1, place[person]] += 1
        for other, below in real:
            wins[place[person], place[other]] += (value > below) + 0.5 * (value == below)
    drawn = np.random.default_rng(seed).multinomial(len(people), [1 / len(people)] * len(people), draws)
    twice = drawn * (drawn - 1)
    pairs = (drawn @ numbers[0]) * (drawn @ numbers[1]) - twice @ (numbers[0] * numbers[1])
    won = np.einsum("di,ij,dj->d", drawn, wins, drawn) - twice @ np.diag(wins)
    kept = pairs > 0
    if not kept.any():
        return None
    areas = won[kept] / pairs[kept]
    low, high = np.quantile(areas, (0.025, 0.975))
    return float(low), float(high)
