"""Tests and intervals: against scipy, against what they promise, and against what three pairs can show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import UsageError
from synth.measure.stats import (
    Effect,
    Estimate,
    holm,
    jackknifed,
    mean,
    paired,
    paired_shares,
    ratio,
    share,
    sign_flip,
)


def test_a_mean_has_students_interval() -> None:
    found = mean([1.0, 2.0, 4.0, math.nan])
    assert (found.value, found.count) == (pytest.approx(7 / 3), 3)
    reach = 4.302653 * np.std([1, 2, 4], ddof=1) / math.sqrt(3)
    assert found.low == pytest.approx(7 / 3 - reach, rel=1e-6)


def test_one_value_gives_no_interval() -> None:
    assert mean([3.0]) == Estimate(3.0, None, None, 1)
    assert mean([]).count == 0 and math.isnan(mean([]).value)


def test_intervals_cover_what_they_should() -> None:
    draws = np.random.default_rng(1)
    covered = [one.low <= 0.5 <= one.high for one in (mean(draws.normal(0.5, 1, 5)) for _ in range(800))]  # type: ignore[operator]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_interval_of_a_share_knows_that_few_faces_are_few() -> None:
    all_found = share([3, 3], [3, 3])
    assert all_found.value == 1 and all_found.high == 1
    assert all_found.low is not None and all_found.low < 0.65
    none = paired_shares([1] * 4, [0] * 4, [1] * 4).difference
    assert none.value == -1 and none.high is not None and -0.6 < none.high < 0


def test_clusters_widen_the_interval_of_a_share() -> None:
    alike = share([10, 0, 10, 0, 10, 0], [10] * 6)
    spread = share([5, 5, 5, 5, 5, 5], [10] * 6)
    assert alike.high is not None and spread.high is not None
    assert alike.high > spread.high + 0.1


def test_a_mean_over_members_of_clusters_knows_that_they_are_alike() -> None:
    random = np.random.default_rng(0)
    truth, covered, narrow = 2.0, 0, []
    for _ in range(400):
        own = random.normal(truth, 1, 12)  # of each cluster
        counts = random.integers(1, 9, 12)
        members = [random.normal(middle, 0.2, count) for middle, count in zip(own, counts, strict=True)]
        found = ratio([float(one.sum()) for one in members], counts.astype(float))
        plain = mean(np.concatenate(members))
        assert found.value == pytest.approx(plain.value)
        assert found.low is not None and found.high is not None and plain.high is not None
        covered += found.low <= truth <= found.high
        narrow.append((plain.high - plain.value) / (found.high - found.value))
    assert covered > 0.88 * 400 and np.median(narrow) < 0.6
    assert ratio([1.0, 0.0], [2.0, 0.0]) == Estimate(0.5, None, None, 1)
    with pytest.raises(UsageError):
        ratio([1.0], [1.0, 2.0])


def test_pictures_without_faces_count_for_nothing() -> None:
    assert paired_shares([2, 0], [0, 0], [2, 0]).difference.count == 1


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9))
def test_the_sign_flip_test_is_what_it_says(values: list[float]) -> None:
    p, least = sign_flip(values)
    assert 0 < p <= 1 and least == 2.0 ** (1 - len(values)) and p >= least * 0.999
    assert sign_flip([-one for one in values])[0] == p


def test_what_three_pairs_can_show_at_best() -> None:
    effect = paired([0.0, 0.0, 0.0], [100.0, 101.0, 102.0])
    assert effect.p == effect.least_p == 0.25
    assert effect.verdict == "too few pairs"
    assert paired([0.0] * 6, [1.0] * 6).p == pytest.approx(2 / 64)


def test_what_could_not_be_shown_once_corrected_for_so_many_is_called_too_few() -> None:
    hidden = {str(number): paired_shares([1] * 8, [0] * 8, [1] * 8) for number in range(14)}
    assert all(one.least_p < 0.05 and one.verdict == "too few pairs" for one in holm(hidden).values())
    few = {str(number): paired_shares([1] * 8, [0] * 8, [1] * 8) for number in range(5)}
    assert all(one.verdict == "lower" for one in holm(few).values())
    mixed = holm({**few, "equal": paired([1.0, 2.0] * 4, [2.0, 1.0] * 4), "none": paired([], [])})
    assert mixed["equal"].verdict == "not shown" and mixed["none"].verdict == "not measured"


def test_many_pairs_are_drawn_and_agree_with_all_signs() -> None:
    draws = np.random.default_rng(3)
    values = draws.normal(0.35, 1, 14)
    exact = sign_flip(values)[0]
    drawn = sign_flip([*values, 0.0])[0]  # a fifteenth pair without a difference changes nothing
    assert drawn == pytest.approx(exact, abs=0.012)


def test_equal_data_show_nothing() -> None:
    effect = paired([0.1, 0.7, 0.4] * 4, [0.1, 0.7, 0.4] * 4)
    assert effect.p == 1 and effect.difference.value == 0 and effect.verdict == "not shown"


@pytest.mark.parametrize("count", [12, 20])  # every sign is tried, or 20,000 are drawn
def test_without_noise_by_a_cloak_p_is_uniform(count: int) -> None:
    """Strength zero: both copies are measured with the same random error, 400 times over."""
    draws = np.random.default_rng(7)
    seen = np.sort(
        [paired(draws.normal(0.8, 0.05, count), draws.normal(0.8, 0.05, count)).p for _ in range(400)]
    )
    ideal = np.arange(1, 401) / 400
    kolmogorov = max(np.abs(seen - ideal).max(), np.abs(seen - ideal + 1 / 400).max())
    assert kolmogorov < 1.63 / math.sqrt(400)  # 1 % critical value
    assert np.mean(seen <= 0.05) < 0.09


def test_of_shares_p_is_not_too_small_either() -> None:
    draws = np.random.default_rng(8)
    faces = np.full(12, 6)
    seen = np.array([paired_shares(*draws.binomial(faces, 0.7, (2, 12)), faces).p for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        # counts tie, which makes the test careful: it may be wrong less often than it says, not more
        assert np.mean(seen <= level) <= level + 2.6 * math.sqrt(level * (1 - level) / 300)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20))
def test_swapped_labels_flip_the_sign_and_nothing_else(seed: int, count: int) -> None:
    draws = np.random.default_rng(seed)
    clean, cloaked = draws.normal(0, 1, count), draws.normal(0.5, 1, count)
    one, other = paired(clean, cloaked), paired(cloaked, clean)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.p == other.p
    assert one.difference.low == pytest.approx(-other.difference.high)  # type: ignore[operator]
    faces = np.full(count, 5)
    first, second = draws.binomial(faces, 0.8), draws.binomial(faces, 0.3)
    there, back = paired_shares(first, second, faces), paired_shares(second, first, faces)
    assert there.difference.value == pytest.approx(-back.difference.value) and there.p == back.p
    assert there.difference.low == pytest.approx(-back.difference.high)  # type: ignore[operator]


def test_holm_multiplies_by_what_is_left() -> None:
    nothing = Estimate(0.1, 0.0, 0.2, 12)
    given_p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan}
    effects = {name: Effect(nothing, 0, 0.1, p, 1e-4) for name, p in given_p.items()}
    adjusted = {name: one.adjusted for name, one in holm(effects).items()}
    assert adjusted == {
        "a": pytest.approx(0.03),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
        "d": None,
    }
    assert holm(effects)["a"].verdict == "higher"
    assert holm(effects)["b"].verdict == "not shown"


def test_of_many_measures_without_an_effect_holm_rarely_shows_one() -> None:
    draws = np.random.default_rng(5)
    false = 0
    for _ in range(60):
        data = draws.normal(0, 1, (8, 2, 10))
        found = holm({str(number): paired(*rows) for number, rows in enumerate(data)})
        false += any(one.verdict in ("higher", "lower") for one in found.values())
    assert false <= 8  # 60 families at 5 %: more than 8 in fewer than one of 100 runs


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(UsageError, match="expected pairs"):
        paired([1.0], [1.0, 2.0])
    with pytest.raises(UsageError, match="expected pairs"):
        paired_shares([1], [1], [1, 2])


def test_json_knows_no_nan() -> None:
    data = paired([], []).to_json()
    assert data["p"] is None and data["difference"]["value"] is None
    assert data["verdict"] == "not measured"


def test_the_jackknife_of_means_is_the_plain_t_test() -> None:
    """Means without one value at a time say as much about the whole as the values themselves do."""
    values = np.random.default_rng(0).normal(0.4, 1, 8)
    without = np.array([np.delete(values, index).mean() for index in range(8)])
    found, plain = jackknifed(np.zeros(8), without), mean(values)
    assert found.difference.value == pytest.approx(plain.value)
    assert found.difference.low == pytest.approx(plain.low) and found.difference.high == pytest.approx(
        plain.high
    )
    assert jackknifed([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).p == 1
    frozen = jackknifed([0.0] * 5, [40.0] * 5)
    assert math.isnan(frozen.p) and frozen.difference.low is None and frozen.verdict == "not tested"
    assert holm({"lag": frozen})["lag"].verdict == "not tested"
    one = jackknifed([1.0, math.nan, math.nan], [2.0, 1.0, math.nan])
    assert one.difference.count == 1 and one.difference.low is None and one.verdict == "too few pairs"
    assert jackknifed([math.nan], [1.0]).verdict == "not measured"


def test_the_jackknife_finds_nothing_where_there_is_nothing() -> None:
    """Over 400 runs of a cheap measure of equal data p is uniform."""
    draws, found = np.random.default_rng(3), []
    for _ in range(400):
        values = draws.normal(0, 1, (2, 5))
        without = [[np.delete(row, index).mean() for index in range(5)] for row in values]
        found.append(jackknifed(*without).p)
    for level in (0.05, 0.25, 0.5, 0.75):
        share = float(np.mean(np.array(found) <= level))
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 400)
