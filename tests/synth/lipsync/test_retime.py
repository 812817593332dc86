"""Re-timing against every possible laying, and against its own rules."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MediaTooLargeError, UsageError
from synth.lipsync.film.retime import RetimeWeights, blinks, movement, retime, there_and_back


def every_laying(count: int, many: int) -> Iterator[list[float]]:
    """All layings, by the rules alone: start anywhere, then repeat once or go on to the next."""

    def longer(frames: list[float]) -> Iterator[list[float]]:
        if len(frames) == count:
            yield frames
            return
        last = frames[-1]
        if last % 1 == 0:
            yield from longer([*frames, last + 0.5])
        if int(last) + 1 < many:
            yield from longer([*frames, float(int(last) + 1)])

    for start in range(many):
        yield from longer([float(start)])


def plainly(
    frames: list[float], speed: np.ndarray, blink: np.ndarray, silent: np.ndarray, onset: np.ndarray
) -> float:
    """The cost, term by term as the paper writes it; a_B = 1, a_U = 2, a_S = 2."""
    total = 0.0
    for i, place in enumerate(frames):
        value = speed[int(place)] + (1.0 if blink[int(place)] else 0.0)
        total += value if silent[i] else 0.0
        total -= 2.0 * value if onset[i] else 0.0
        total += 2.0 * value if place % 1 else 0.0
    return total


@st.composite
def cases(draw: st.DrawFn, most: int) -> tuple[np.ndarray, ...]:
    many = draw(st.integers(1, most))
    count = draw(st.integers(1, min(most, 2 * many)))
    speed = np.array(draw(st.lists(st.floats(0, 2, width=16), min_size=many, max_size=many)))
    flags = [
        np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))) for size in (many, count, count)
    ]
    return (speed, flags[0], flags[1], flags[2] & ~flags[1])


@settings(max_examples=80, deadline=None)
@given(cases(7))
def test_no_laying_is_better(case: tuple[np.ndarray, ...]) -> None:
    speed, blink, silent, onset = case
    done = retime(*case)
    best = min(
        plainly(frames, speed, blink, silent, onset) for frames in every_laying(len(silent), len(speed))
    )
    assert done.cost == pytest.approx(best, abs=1e-6)
    assert plainly(done.frames.tolist(), speed, blink, silent, onset) == pytest.approx(best, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(cases(120))
def test_its_rules(case: tuple[np.ndarray, ...]) -> None:
    done = retime(*case)
    base = done.base
    steps = np.diff(base)
    assert set(steps.tolist()) <= {0, 1}, "none is skipped, and it never goes back"
    assert np.bincount(base).max() <= 2, "none is shown more than twice"
    assert (base >= 0).all() and (base < len(case[0])).all() and len(base) == len(case[2])
    again = np.concatenate([[False], steps == 0])
    assert (done.halves == again).all(), "the second showing is the half-frame, and only it"


def test_pauses_go_to_still_frames_and_onsets_to_moving_ones() -> None:
    """A target that moves in its middle; a sound that is silent, then speaks."""
    speed = np.zeros(60)
    speed[30:40] = 1.0
    silent = np.arange(30) < 15
    onset = (np.arange(30) >= 15) & (np.arange(30) < 20)
    done = retime(speed, np.zeros(60, bool), silent, onset)
    shown = speed[done.base]
    assert shown[silent].max() == 0 and shown[onset].min() == 1
    blink = np.zeros(60, bool)
    blink[5:10] = True
    slow = retime(np.zeros(60), blink, np.zeros(100, bool), np.zeros(100, bool))
    assert not blink[slow.base[slow.halves]].any(), "a blink is not slowed down"
    fast = retime(speed, blink, silent, onset, RetimeWeights(blink=0, onset=0, repeat=0))
    assert fast.cost == 0


def test_what_does_not_fit() -> None:
    none = np.zeros(3, bool)
    for speed, blink, silent, onset in (
        (np.ones(1), none[:1], none, none),
        (np.ones(2), none, none, none),
        (np.array([1.0, np.nan, 1]), none, none, none),
        (-np.ones(3), none, none, none),
        (np.ones(3), none, none, none[:2]),
        (np.ones(3), none, none[:0], none[:0]),
    ):
        with pytest.raises(UsageError):
            retime(speed, blink, silent, onset)
    many = np.zeros(40_000, bool)
    with pytest.raises(MediaTooLargeError):
        retime(np.ones(40_000), many, many, many)


def test_a_short_target_goes_there_and_back() -> None:
    assert there_and_back(4, 3).tolist() == [0, 1, 2, 3]
    assert there_and_back(4, 4).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    played = there_and_back(4, 11)
    assert played.tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert (np.abs(np.diff(there_and_back(7, 100))) == 1).all()
    with pytest.raises(UsageError):
        there_and_back(1, 3)


def test_a_choice_of_where_to_begin_costs_less() -> None:
    """A lively beginning and a calm end: silence is laid onto the end, wherever in the film it is."""
    speed = np.concatenate([np.full(20, 0.9), np.full(20, 0.1)])
    silent, begun = np.arange(40) < 20, np.arange(40) == 20

    def cost(order: np.ndarray) -> float:
        return retime(speed[order], np.zeros(len(order), bool), silent, begun).cost

    assert cost(there_and_back(40, 40)) < 0.5 * cost(np.arange(40))


def test_movement_and_blinks_of_a_face() -> None:
    times = np.arange(50) / 25
    face = np.random.default_rng(0).uniform(0, 100, (468, 2))
    face[33], face[263] = (20, 50), (80, 50)
    shift = np.cumsum(np.where((np.arange(50) >= 20) & (np.arange(50) < 30), 3.0, 0.0))
    series = face + shift[:, None, None] * np.array([1.0, 0])
    speed = movement(series, times)
    assert speed[21:28].min() > 0.9 and speed[:18].max() == 0 and speed.max() <= 2
    doubled = movement(series * 2, times)
    assert doubled == pytest.approx(speed), "the size of the face does not matter"
    series[40] = np.nan
    assert np.isfinite(movement(series, times)).all()
    open_eyes = np.full(50, 0.3)
    open_eyes[10:13] = 0.05
    open_eyes[30] = np.nan
    found = np.flatnonzero(blinks(open_eyes, times))
    assert found.min() == 8 and found.max() == 14
    assert not blinks(np.full(5, np.nan), times[:5]).any()
