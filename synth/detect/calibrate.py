"""Scores to probabilities from few samples: ridge logistic regression; areas under ROC and precision-recall curves.

Both classes have the same total weight. So a probability of 0.5 means "as likely among the calibration's fakes as among
its real clips", not "half of all such clips are fakes".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError
from synth.detect.base import logistic

Floats = NDArray[np.float64]
SCHEMA = "veilmark.detect-joint/1"
#: The detector whose odds are of another kind of fake than the regression's.
LIPS = "lips"
_EDGE = 0.02


def fit_logistic(
    values: Floats, fake: NDArray[np.bool_], shrink: float, *, weights: Floats | None = None
) -> tuple[Floats, float]:
    """Weights and offset of a logistic regression with a ridge of ``shrink`` on the weights (not the offset), by
    Newton's method.

    Args:
        values: ``(N, F)``.
        fake: ``(N,)``.
        shrink: strength of the ridge, in uninformative pseudo-observations.
        weights: ``(N,)`` of the observations, before the classes are balanced.
    """
    x = np.hstack([np.asarray(values, np.float64), np.ones((len(values), 1))])
    own = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64).copy()
    for group in (fake, ~fake):
        own[group] *= len(x) / 2 / max(float(own[group].sum()), 1e-9)
    ridge = np.diag([shrink] * values.shape[1] + [1e-6])
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        slope = x.T @ (own * (p - fake)) + ridge @ beta
        curve = (x * (own * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        step *= min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        beta -= step
        if float(np.abs(step).max()) < 1e-9:
            break
    return beta[:-1], float(beta[-1])


def auc(real: Sequence[float], fake: Sequence[float]) -> float:
    """Area under the ROC curve: the probability that a fake scores higher than a real clip, ties half; NaN where a
    class is empty.
    """
    if not len(real) or not len(fake):
        return float("nan")
    a, b = np.asarray(real, np.float64)[:, None], np.asarray(fake, np.float64)[None]
    return float(((b > a) + 0.5 * (b == a)).mean())


def average_precision(values: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve, by steps; NaN without a positive."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-np.asarray(values, np.float64).ravel(), kind="stable")
    hit = truth.ravel()[order]
    level = np.asarray(values, np.float64).ravel()[order]
    last = np.append(np.flatnonzero(np.diff(level)), len(level) - 1)
    found = np.cumsum(hit)[last]
    precision = found / (last + 1)
    return float((np.diff(np.append(0, found)) * precision).sum() / found[-1])


@dataclass(frozen=True)
class Joint:
    """The joint score: one logistic regression on the log-odds of the detectors' scores, and the odds of a lip-sync.

    A detector that could not judge is given its mean over the calibration's clips, so that it has no influence.

    A fake is either a swapped face or a lip-sync, and each kind is seen by other detectors: what sees one speaks
    against the other. So their log-odds are not added. The joint odds are the mean of the regression's odds (real
    against swapped) and those of "lips" (real against lip-sync): Bayes' rule where both kinds of fakes are equally
    likely. Where "lips" could not judge, they are the regression's.

    Attributes:
        weights, centres: by detector.
        offset: of the log-odds.
        about: the calibration data.
    """

    weights: Mapping[str, float]
    centres: Mapping[str, float]
    offset: float
    about: str = ""

    def probability(self, scores: Mapping[str, float | None]) -> float | None:
        """0 to 1; None where the detectors that could judge have less than a third of all weight: the result would be
        near 0.5 whatever they saw.
        """
        total, judged = self.offset, 0.0
        for name, weight in self.weights.items():
            score = scores.get(name)
            if score is not None:
                total += weight * (log_odds(score) - self.centres[name])
                judged += weight
        if judged <= 0 or 3 * judged < sum(self.weights.values()):
            return None
        lips = scores.get(LIPS)
        if lips is None:
            return logistic(total)
        odds = (math.exp(min(60.0, max(-60.0, total))) + math.exp(log_odds(lips))) / 2
        return odds / (1 + odds)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "weights": {name: round(value, 6) for name, value in self.weights.items()},
            "centres": {name: round(value, 6) for name, value in self.centres.items()},
            "offset": round(self.offset, 6),
            "about": self.about,
        }

    @classmethod
    def loads(cls, text: bytes) -> Joint:
        """From JSON text.

        Raises:
            CorruptMediaError: it is something else.
        """
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA or set(data["weights"]) != set(data["centres"]):
                raise ValueError("another schema, or weights without centres")
            weights = {str(name): float(value) for name, value in data["weights"].items()}
            centres = {str(name): float(value) for name, value in data["centres"].items()}
            offset = float(data["offset"])
            if not np.isfinite([*weights.values(), *centres.values(), offset]).all():
                raise ValueError("numbers that are not finite")
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CorruptMediaError(f"this is no joint calibration: {str(error)[:200]}") from error
        return cls(weights, centres, offset, str(data.get("about", ""))[:2000])


def log_odds(score: float) -> float:
    """Log-odds of a score. It is clipped away from 0 and 1 first, so that no detector decides alone."""
    kept = min(1 - _EDGE, max(_EDGE, score))
    return float(np.log(kept / (1 - kept)))


def fit_joint(
    rows: Sequence[Mapping[str, float | None]],
    fake: Sequence[bool],
    names: Sequence[str],
    *,
    shrink: float = 4.0,
    weights: Sequence[float] | None = None,
    about: str = "",
) -> Joint:
    """Fit the joint score to clips of people who were not in the detectors' training data.

    Negative weights are set to 0 and the others are fitted again: with so few clips a negative weight is chance.
    """
    truth = np.asarray(fake, bool)
    table = np.array(
        [
            [np.nan if row.get(name) is None else log_odds(float(row[name] or 0.0)) for name in names]
            for row in rows
        ]
    )
    centres = np.array([np.nanmean(column) if np.isfinite(column).any() else 0.0 for column in table.T])
    filled = np.where(np.isfinite(table), table - centres, 0.0)
    used = np.isfinite(table).any(0)
    own = None if weights is None else np.asarray(weights, np.float64)
    while True:
        beta = np.zeros(len(names))
        beta[used], offset = fit_logistic(filled[:, used], truth, shrink, weights=own)
        if not (beta < 0).any():
            break
        used &= beta > 0
        if not used.any():
            break
    beta = np.maximum(beta, 0)
    return Joint(
        dict(zip(names, beta.tolist(), strict=True)),
        dict(zip(names, centres.tolist(), strict=True)),
        offset,
        about,
    )
