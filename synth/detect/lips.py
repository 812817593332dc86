"""Lips: a mouth that moves, or looks, as no mouth of its own face would. For lip-syncs, which keep all but the mouth.

After the idea of BioLip (2026), that the lips' velocity, acceleration and jerk against the head's give a lip-sync away;
and of GenD (2026), that pairs of real and fake from the same clip matter most. Here it is a logistic regression on the
features of :mod:`synth.detect.lip_features`, kept as JSON. Its fakes are a handful of lip-syncs of two people by one
generator, our own, and landmarks of everybody whose lips moved at another time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError
from synth.detect.base import Finding, Line, Plot, bounded, logistic
from synth.detect.lip_features import (
    LEAST_SECONDS,
    MOST_MISSING,
    RATE,
    evenly,
    from_the_front,
    lip_windows,
    opening,
)
from synth.detect.observe import TIMELESS, ObservedFace

Floats = NDArray[np.float64]
SCHEMA = "veilmark.lips/1"
LEAST_RATE = 14.0
#: Distance of the eyes in pixels below which lips are too small, and frozen share of blocks above which nothing moves.
LEAST_SPAN, MOST_FROZEN = 28.0, 0.6
#: Opening of the lips that varies less, in distances between the eyes (10th to 90th percentile), is a mouth at rest.
LEAST_MOVEMENT = 0.02
#: Standardised features are cut off here, so that none decides alone.
MOST_APART = 4.0


@dataclass(frozen=True)
class LipModel:
    """``sum(weights * standardised features) + offset``, above 0 where it speaks for a fake.

    Attributes:
        features: names.
        mean, scale: ``(F,)`` that features are standardised with.
        weights: ``(F,)``.
        offset: of the log-odds.
        about: how it was made.
    """

    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    offset: float
    about: str = ""

    def log_odds(self, told: dict[str, float]) -> float:
        """Of one window's features; those that could not be measured have no influence."""
        return float(self.parts(told).sum() + self.offset)

    def parts(self, told: dict[str, float]) -> Floats:
        """``(F,)`` what each feature adds."""
        values = np.array([told.get(name, np.nan) for name in self.features])
        x = np.clip((values - self.mean) / self.scale, -MOST_APART, MOST_APART)
        return np.asarray(np.where(np.isfinite(x), x, 0.0) * self.weights)

    def to_json(self) -> dict[str, Any]:
        rounded = {name: np.round(getattr(self, name), 6).tolist() for name in ("mean", "scale", "weights")}
        return {
            "schema": SCHEMA,
            "features": list(self.features),
            **rounded,
            "offset": round(self.offset, 6),
            "about": self.about,
        }

    @classmethod
    def loads(cls, text: bytes) -> LipModel:
        """From JSON text.

        Raises:
            CorruptMediaError: it is something else.
        """
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA:
                raise ValueError(f"its schema is {str(data['schema'])[:60]!r}, expected {SCHEMA!r}")
            features = tuple(str(name)[:80] for name in data["features"])
            mean, scale, weights = (np.array(data[name], np.float64) for name in ("mean", "scale", "weights"))
            offset = float(data["offset"])
            if not (mean.shape == scale.shape == weights.shape == (len(features),)):
                raise ValueError("lengths that differ")
            if not np.isfinite([*mean, *scale, *weights, offset]).all() or (scale <= 0).any():
                raise ValueError("numbers that are not finite")
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CorruptMediaError(f"this is no model of lips: {str(error)[:200]}") from error
        return cls(features, mean, scale, weights, offset, str(data.get("about", ""))[:2000])


def lips_finding(observed: ObservedFace, model: LipModel) -> Finding:
    """The mean log-odds over windows of four seconds, and why a clip cannot be judged."""
    reason = cannot_judge(observed)
    if reason:
        return Finding.cannot(reason)
    front = from_the_front(observed.landmarks)
    gap = opening(evenly(front, observed.times))
    moved = float(np.subtract(*np.percentile(gap, (90, 10))))
    if moved < LEAST_MOVEMENT:
        return Finding.cannot("the mouth hardly moves", opening_varies=round(moved, 4))
    parts = lip_windows(observed)
    if not parts:
        return Finding.cannot(f"no {LEAST_SECONDS:.0f} s in which the face is seen throughout")
    values = [model.log_odds(told) for _, told in parts]
    mean = float(np.mean(values))
    adds = np.mean([model.parts(told) for _, told in parts], axis=0)
    most = [int(one) for one in np.argsort(-adds)[:3] if adds[one] > 0]
    seen = np.mean([told["chin follows opening"] for _, told in parts])
    times = observed.times[np.isfinite(front[:, 0, 0])]
    return Finding(
        bounded(logistic(mean)),
        saw={
            "windows": [
                [round(start, 2), round(value, 4)] for (start, _), value in zip(parts, values, strict=True)
            ],
            "opening_varies": round(moved, 4),
            "chin_follows_opening": round(float(seen), 3),
            "speaks_most_for_a_fake": [[model.features[one], round(float(adds[one]), 3)] for one in most],
        },
        sentence=(
            f"chin and opening move together to {seen:.2f}"
            + (f"; most unusual: {model.features[most[0]]}" if most else "; nothing unusual")
        ),
        plots=[
            Plot(
                "Opening of the lips, and the chin's place",
                "seconds",
                "distances between the eyes",
                tuple(
                    Line(name, times[0] + np.arange(len(values)) / RATE, values - np.median(values))
                    for name, values in (
                        ("opening", gap),
                        ("chin", evenly(front, observed.times)[:, 152, 1]),
                    )
                ),
            )
        ],
    )


def cannot_judge(observed: ObservedFace) -> str:
    """Why lips cannot be judged; empty where they may."""
    if observed.kind != "video" or len(observed.times) < 3:
        return "a single picture does not speak"
    if observed.timeless:
        return TIMELESS
    if observed.rate < LEAST_RATE:
        return f"{observed.rate:.0f} frames a second are too few for lips (at least {LEAST_RATE:.0f})"
    if observed.seconds < LEAST_SECONDS:
        return f"too short: {observed.seconds:.1f} s, at least {LEAST_SECONDS:.0f} s needed"
    if observed.found.mean() < 1 - MOST_MISSING:
        return f"no face in {1 - observed.found.mean():.0%} of the frames"
    if observed.span < LEAST_SPAN:
        return f"the face is too small: eyes {observed.span:.0f} px apart, at least {LEAST_SPAN:.0f} needed"
    if observed.frozen > MOST_FROZEN:
        return (
            f"too heavily compressed: {observed.frozen:.0%} of the face's blocks do not change between frames"
        )
    return ""
