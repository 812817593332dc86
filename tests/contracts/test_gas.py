"""What calls cost: the checked-in table is true, and each cost is under its target."""

from __future__ import annotations

import pytest

from contracts.gas import OUTPUT, Cost, measure, to_text


@pytest.fixture(scope="module")
def costs() -> list[Cost]:
    return measure()


def test_the_table_is_what_calls_cost_now(costs: list[Cost]) -> None:
    assert to_text(costs) == OUTPUT.read_text("utf-8"), "run `python -m contracts.gas`"


def test_targets(costs: list[Cost]) -> None:
    targets = {cost.call: cost.target for cost in costs if cost.target}
    assert sorted(targets.values()) == [55, 30_000, 30_000, 55_000, 60_000, 60_000]
    for cost in costs:
        if cost.target:
            assert cost.gas <= cost.target, cost


def test_an_anchor_of_a_thousand_costs_less_than_55_a_record(costs: list[Cost]) -> None:
    (anchor,) = [cost for cost in costs if "steady state" in cost.call and "anchor" in cost.call]
    assert anchor.gas / 1000 < 55
