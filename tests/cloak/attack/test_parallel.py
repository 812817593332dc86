"""Detectors at the same time: the same answers, in order, with the gradients and the errors of one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from cloak import detectors
from cloak.attack.conditions import Condition, publication_conditions
from cloak.attack.search import optimise
from cloak.attack.task import Schedule, Task
from cloak.attack.transforms import identity
from cloak.parallel import map_parallel


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield int(request.param)
    torch.set_num_threads(before)


def test_answers_come_in_order_and_threads_are_left_as_they_were(threads: int) -> None:
    assert map_parallel(lambda number: number**2, range(20)) == [number**2 for number in range(20)]
    assert torch.get_num_threads() == threads


def test_as_many_work_at_once_as_torch_may_use_threads(threads: int) -> None:
    together = threading.Barrier(threads)

    def meet(_: int) -> int:
        together.wait(timeout=20)  # breaks unless all of them are here at the same time
        return torch.get_num_threads()

    assert map_parallel(meet, range(threads)) == [1] * threads


@pytest.mark.parametrize("tracked", [True, False])
def test_gradients_are_tracked_as_outside(threads: int, tracked: bool) -> None:
    leaf = torch.ones(3, requires_grad=True)
    with torch.set_grad_enabled(tracked):
        assert [one.requires_grad for one in map_parallel(lambda factor: leaf * factor, [1, 2, 3])] == [
            tracked
        ] * 3


def test_what_goes_wrong_is_raised(threads: int) -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise LookupError("two")
        return number

    with pytest.raises(LookupError, match="two"):
        map_parallel(fail, range(4))


def test_nothing_to_do(threads: int) -> None:
    assert map_parallel(lambda one: one, []) == []


def test_a_search_finds_the_same_with_any_number_of_cores(portraits, threads: int) -> None:  # type: ignore[no-untyped-def]
    """Up to how the cores round their sums."""
    clean = torch.from_numpy(portraits["astronaut"][:256, 96:352].copy()).permute(2, 0, 1)[None].float() / 255
    task = Task(clean, torch.tensor([[85.0, 58, 172, 172]]), torch.full((1, 1, 256, 256), 8 / 255))
    loaded = [detectors.load("blazeface-short"), detectors.load("centerface")]
    conditions = publication_conditions(90)
    noise = optimise(task, loaded, conditions, schedule=Schedule(steps=3)).noise
    torch.set_num_threads(1)
    alone = optimise(task, loaded, conditions, schedule=Schedule(steps=3)).noise
    assert float((noise - alone).abs().mean()) < 0.1 * float(alone.abs().mean())


def test_a_search_stops_where_it_is_told_to(portraits) -> None:  # type: ignore[no-untyped-def]
    """The exams ask for more than can be had; who looks in earnest is content from the second look on."""
    clean = torch.from_numpy(portraits["astronaut"][:256, 96:352].copy()).permute(2, 0, 1)[None].float() / 255
    task = Task(clean, torch.tensor([[85.0, 58, 172, 172]]), torch.full((1, 1, 256, 256), 0.1 / 255))
    loaded, conditions = (
        [detectors.load("centerface")],
        [Condition("published", lambda rng: identity(), (identity(),))],
    )

    def second(noise: torch.Tensor) -> bool:
        looks.append(noise)
        return len(looks) == 2

    looks: list[torch.Tensor] = []
    result = optimise(task, loaded, conditions, schedule=Schedule(steps=12, check_every=2), stop_when=second)
    assert result.steps == 4 and result.unresolved_count == 1
    assert torch.equal(result.noise, looks[-1])
    assert optimise(task, loaded, conditions, schedule=Schedule(steps=6, check_every=2)).steps == 6
