"""Teach the support vector machine of pulse and flicker. Needs scikit-learn; what it learns is kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.detect.networks.svm import SupportVectorMachine
from synth.detect.observe import ObservedFace
from synth.detect.pulse_features import FEATURES, windows
from synth.detect.training.faces import calibration

Floats = NDArray[np.float64]
#: Fixed beforehand, not tuned: there are too few people to tune on.
_COST, _WIDTH = 1.0, 0.5


@dataclass(frozen=True)
class Row:
    """The windows of one clip.

    Attributes:
        person: whose.
        fake: was made.
        values: ``(W, F)``, W may be 0.
    """

    person: str
    fake: bool
    values: Floats


def row(person: str, fake: bool, observed: ObservedFace) -> Row:
    """Of a observed clip."""
    found = [values for _, values in windows(observed)]
    return Row(person, fake, np.stack(found) if found else np.zeros((0, len(FEATURES))))


def train_machine(rows: Sequence[Row], *, about: str = "") -> SupportVectorMachine:
    """A machine, uncalibrated. Every clip weighs the same, and so do real and fake ones."""
    try:
        from sklearn.svm import SVC
    except ModuleNotFoundError as error:
        raise UsageError("scikit-learn is not installed", hint="run `pip install scikit-learn`") from error
    used = [one for one in rows if len(one.values)]
    if len({one.fake for one in used}) < 2:
        raise UsageError("real and made clips of at least four seconds are needed")
    values = np.concatenate([one.values for one in used])
    fake = np.concatenate([np.full(len(one.values), one.fake) for one in used])
    weight = np.concatenate([np.full(len(one.values), 1 / len(one.values)) for one in used])
    for group in (fake, ~fake):
        weight[group] *= len(weight) / 2 / weight[group].sum()
    mean, scale = values.mean(0), np.maximum(values.std(0), 1e-6)
    gamma = _WIDTH / values.shape[1]
    machine = SVC(C=_COST, kernel="rbf", gamma=gamma)
    machine.fit((values - mean) / scale, fake.astype(int), sample_weight=weight)
    return SupportVectorMachine(
        FEATURES,
        mean,
        scale,
        np.asarray(machine.support_vectors_, np.float64),
        np.asarray(machine.dual_coef_[0], np.float64),
        gamma,
        float(machine.intercept_[0]),
        about=about,
    )


def held_out(rows: Sequence[Row], groups: Sequence[Sequence[str]]) -> list[float | None]:
    """Mean decision value of each clip by a machine that saw nobody of its group; None without windows."""
    result: list[float | None] = [None] * len(rows)
    for group in groups:
        machine = train_machine([one for one in rows if one.person not in group])
        for place, one in enumerate(rows):
            if one.person in group and len(one.values):
                result[place] = float(machine.decide(one.values).mean())
    return result


def calibrated(
    machine: SupportVectorMachine, rows: Sequence[Row], decisions: Sequence[float | None]
) -> SupportVectorMachine:
    """With a logistic curve through held-out decisions."""
    pairs = [(value, one.fake) for value, one in zip(decisions, rows, strict=True) if value is not None]
    slope, offset = calibration(np.array([one for one, _ in pairs]), np.array([one for _, one in pairs]))
    return replace(machine, slope=slope, offset=offset)
