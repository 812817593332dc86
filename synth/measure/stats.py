"""Differences between pairs, how sure they are, and whether chance alone explains them.

Everything is paired: the same picture, or the same seed, once with and once without. Tests are exact sign-flip tests
(Fisher, "The Design of Experiments", 1935, section 21), which assume nothing about how values are distributed, and
which say honestly what few pairs can show: with three, no p below 0.25 exists. Where the same thing is computed from
all but a part of the data, again and again, it is the jackknife instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from provenance.errors import UsageError

#: Up to so many pairs every assignment of signs is tried; beyond, as many are drawn.
_EXACT_PAIRS, _DRAWS = 14, 20_000
_TINY = 1e-12
Values = Sequence[float] | NDArray[np.float64]


class Significance(StrEnum):
    """What a test says about a difference."""

    HIGHER = "higher"
    LOWER = "lower"
    NOT_SHOWN = "not shown"
    TOO_FEW = "too few pairs"
    NOT_TESTED = "not tested"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; the bounds are None where one pair alone cannot give any.

    Attributes:
        value: NaN where there was nothing to measure.
        count: of pictures or seeds.
    """

    value: float
    low: float | None
    high: float | None
    count: int

    def to_json(self) -> dict[str, float | int | None]:
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Effect:
    """What a treatment changed, over pairs.

    Attributes:
        difference: treated less baseline.
        baseline, treated: the two means (or shares).
        p: two-sided, of the sign-flip test; NaN without pairs, or where no test can be made of them.
        least_p: the smallest p that this many pairs can give at all.
        adjusted: p after Holm's correction for the other effects it was looked at with, or None.
        least_adjusted: the smallest that it could have been, or None.
    """

    difference: Estimate
    baseline: float
    treated: float
    p: float
    least_p: float
    adjusted: float | None = None
    least_adjusted: float | None = None

    @property
    def verdict(self) -> Significance:
        """``HIGHER`` or ``LOWER`` where chance is an unlikely reason (5 %, adjusted); else ``NOT_SHOWN``, or
        ``TOO_FEW`` pairs where no data could have shown it, ``NOT_TESTED`` where pairs have no spread to test against,
        and ``NOT_MEASURED`` without pairs.
        """
        p = self.p if self.adjusted is None else self.adjusted
        least = self.least_p if self.least_adjusted is None else self.least_adjusted
        if not self.difference.count:
            return Significance.NOT_MEASURED
        if math.isnan(p):
            return Significance.NOT_TESTED
        if p <= 0.05:
            return Significance.HIGHER if self.difference.value > 0 else Significance.LOWER
        return Significance.TOO_FEW if least > 0.05 else Significance.NOT_SHOWN

    def to_json(self) -> dict[str, Any]:
        return {
            "baseline": _plain(self.baseline),
            "treated": _plain(self.treated),
            "difference": self.difference.to_json(),
            "p": _plain(self.p),
            "least_p": _plain(self.least_p),
            "adjusted_p": _plain(self.adjusted),
            "verdict": self.verdict,
        }


def mean(values: Values) -> Estimate:
    """The mean with Student's t interval; values that are no number are left out."""
    array = np.asarray([one for one in values if math.isfinite(one)], np.float64)
    return _ratio(array, np.ones(len(array)))


def ratio(sums: Values, counts: Values) -> Estimate:
    """A mean over all members of clusters (landmark errors of each picture's faces): the sum of all clusters' sums over
    the sum of their counts, with the ratio estimator's t interval over clusters (Cochran, "Sampling Techniques", 1977,
    chapter 6), which knows that members of one are alike. Clusters without members are left out.

    Raises:
        UsageError: another number of sums than of counts.
    """
    tops, bottoms = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    if tops.shape != bottoms.shape:
        raise UsageError(f"found {tops.size} sums and {bottoms.size} counts, expected one of each a cluster")
    return _ratio(tops, bottoms)


def share(found: Values, of: Values) -> Estimate:
    """A share of counts in clusters (found faces of each picture's faces).

    The interval is the wider of two: the ratio estimator's over pictures (Cochran, "Sampling Techniques", 1977,
    chapter 6), which knows that faces of a picture are alike, and Wilson's over faces (JASA 22, 1927), which stays
    honest where every picture has the same share.
    """
    hits, total = np.asarray(found, np.float64), np.asarray(of, np.float64)
    rough = _ratio(hits, total)
    if math.isnan(rough.value):
        return rough
    low, high = _wilson(float(hits.sum()), float(total.sum()))
    if rough.low is not None and rough.high is not None:
        low, high = min(low, max(0.0, rough.low)), max(high, min(1.0, rough.high))
    return Estimate(rough.value, low, high, rough.count)


def paired(baseline: Values, treated: Values, *, seed: int = 0) -> Effect:
    """The difference of means over pairs; pairs in which a value is no number are left out."""
    first, second = _pairs(baseline, treated)
    change = second - first
    p, least = sign_flip(change, seed=seed)
    return Effect(_ratio(change, np.ones(len(change))), _mean(first), _mean(second), p, least)


def jackknifed(baseline: Values, treated: Values) -> Effect:
    """The difference between two figures that were computed without one part of the data at a time, in pairs.

    Such figures share most of their data and so are alike: their spread says too little by a factor of the parts less
    one (Quenouille 1956, Tukey 1958: the variance is (n - 1) / n times the sum of squares). p is of Student's t. Where
    all pairs differ by exactly the same (a lag in whole frames may), the spread says nothing, and there is no p and no
    interval. Pairs in which a value is no number are left out.
    """
    first, second = _pairs(baseline, treated)
    change = second - first
    difference = widened(mean(change), len(baseline))
    p, least = math.nan, 1.0
    if difference.high is not None:
        error = (difference.high - difference.value) / float(student.ppf(0.975, difference.count - 1))
        least = 0.0
        if error > _TINY * max(1.0, abs(difference.value)):
            p = float(2 * student.sf(abs(difference.value) / error, difference.count - 1))
        elif difference.value == 0:
            p = 1.0
        else:
            difference = replace(difference, low=None, high=None)
    elif difference.count:
        p = 1.0
    return Effect(difference, _mean(first), _mean(second), p, least)


def widened(one: Estimate, parts: int) -> Estimate:
    """An interval over figures each of which was computed without one of so many parts, as the jackknife has it."""
    if one.low is None or one.high is None:
        return one
    reach = (one.high - one.value) * (parts - 1)
    return replace(one, low=one.value - reach, high=one.value + reach)


def paired_shares(baseline: Values, treated: Values, of: Values, *, seed: int = 0) -> Effect:
    """The difference of two shares of the same counts (faces of a picture found without, and with).

    The interval is the wider of the ratio estimator's over pictures and Newcombe's over faces (Statistics in Medicine
    17, 1998, method 10, which takes the two for independent and so is too wide rather than too narrow).
    """
    first, second, total = (np.asarray(one, np.float64) for one in (baseline, treated, of))
    if not len(first) == len(second) == len(total):
        raise UsageError(f"found {len(first)}, {len(second)} and {len(total)} counts, expected pairs")
    change = second - first
    p, least = sign_flip(change[total > 0], seed=seed)
    rough, before, after = _ratio(change, total), share(first, total), share(second, total)
    if math.isnan(rough.value):
        return Effect(rough, math.nan, math.nan, p, least)
    faces = float(total.sum())
    (low1, high1), (low2, high2) = _wilson(float(first.sum()), faces), _wilson(float(second.sum()), faces)
    low = rough.value - math.hypot(after.value - low2, high1 - before.value)
    high = rough.value + math.hypot(high2 - after.value, before.value - low1)
    if rough.low is not None and rough.high is not None:
        low, high = min(low, max(-1.0, rough.low)), max(high, min(1.0, rough.high))
    return Effect(replace(rough, low=low, high=high), before.value, after.value, p, least)


def correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Pearson's correlation of two series; 0 where one of them does not vary.

    Raises:
        UsageError: series of different lengths.
    """
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if a.shape != b.shape:
        raise UsageError(f"found series of {a.size} and {b.size} values")
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0


def sign_flip(differences: Values, *, seed: int = 0) -> tuple[float, float]:
    """Two-sided p of the hypothesis that each difference might as well have had the other sign, and the least p that
    so many differences can give.

    All assignments of signs are tried for up to 14 differences; beyond, 20,000 are drawn with ``seed`` and the observed
    one is counted too (Phipson and Smyth, SAGMB 9, 2010). Without any difference p is 1.
    """
    values = np.asarray(differences, np.float64)
    count = len(values)
    if not count:
        return math.nan, 1.0
    seen = abs(float(values.sum()))
    if count <= _EXACT_PAIRS:
        sums = np.abs(_every_sign(count) @ values)
        return float(np.mean(sums >= seen * (1 - 1e-9) - _TINY)), 2.0 ** (1 - count)
    draws = np.random.default_rng(seed).choice((1.0, -1.0), (_DRAWS, count))
    hits = int((np.abs(draws @ values) >= seen * (1 - 1e-9) - _TINY).sum())
    return (hits + 1) / (_DRAWS + 1), 1 / (_DRAWS + 1)


def holm(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """The same effects with p adjusted for how many there are (Holm, Scandinavian Journal of Statistics 6, 1979).

    Effects without a p take no part. The smallest p is multiplied by their number, so none can become smaller than
    its own least p times that.
    """
    real = sorted((one.p, name) for name, one in effects.items() if not math.isnan(one.p))
    adjusted, worst = {}, 0.0
    for place, (p, name) in enumerate(real):
        worst = max(worst, min(1.0, (len(real) - place) * p))
        adjusted[name] = worst
    return {
        name: replace(
            one,
            adjusted=adjusted.get(name),
            least_adjusted=min(1.0, len(real) * one.least_p) if name in adjusted else None,
        )
        for name, one in effects.items()
    }


@lru_cache(maxsize=_EXACT_PAIRS)
def _every_sign(count: int) -> NDArray[np.float64]:
    """``(2^count, count)`` of all assignments of +1 and -1."""
    bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    return np.asarray(1.0 - 2.0 * bits, np.float64)


def _ratio(tops: NDArray[np.float64], bottoms: NDArray[np.float64]) -> Estimate:
    """Sum over sum, with the ratio estimator's t interval over pairs; with bottoms of 1 it is the mean's."""
    kept = bottoms > 0
    tops, bottoms = tops[kept], bottoms[kept]
    count = len(tops)
    if not count:
        return Estimate(math.nan, None, None, 0)
    value = float(tops.sum() / bottoms.sum())
    if count == 1:
        return Estimate(value, None, None, 1)
    off = tops - value * bottoms
    error = math.sqrt(count / (count - 1) * float((off**2).sum())) / float(bottoms.sum())
    reach = float(student.ppf(0.975, count - 1)) * error
    return Estimate(value, value - reach, value + reach, count)


def _wilson(hits: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval; unlike scipy's it takes hits that are means over detectors, so no whole numbers."""
    z = 1.959963984540054
    rate, shrink = hits / total, 1 + z * z / total
    middle = (rate + z * z / (2 * total)) / shrink
    reach = z / shrink * math.sqrt(max(0.0, rate * (1 - rate) / total + z * z / (4 * total * total)))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _pairs(baseline: Values, treated: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(baseline, np.float64), np.asarray(treated, np.float64)
    if first.shape != second.shape:
        raise UsageError(f"found {first.size} and {second.size} values, expected pairs")
    kept = np.isfinite(first) & np.isfinite(second)
    return first[kept], second[kept]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _plain(value: float | int | None) -> float | int | None:
    """For JSON, which knows no NaN."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
