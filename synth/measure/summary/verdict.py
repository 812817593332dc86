"""What a measurement says about each attacker, in one place: the headline and the tables take it from here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from synth.measure.attackers import Attacker
from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.measures import MEASURES, OWN_PICTURE, ExperimentKind
from synth.measure.stats import Effect, Significance
from synth.measure.summary.effects import mean_of, primary_effects
from synth.measure.variants import control_in_words
from synth.measure.wording import change, number, p_value

#: A clean fake passes where it is nearer to the person than to the target in at least this share of the faces, and dlib
#: says that it is one person. One that was made after a single picture also has to keep the target's face, in that
#: share, where the picture is the target's own.
LEAST_NEARER, MOST_DLIB = 0.9, 0.6
#: A lip-sync of clean footage passes where the mouth's opening follows the filmed one at least this closely.
LEAST_OPENING = 0.3


@dataclass(frozen=True)
class Baseline:
    """Whether the generator can do on clean data what a cloak is to prevent.

    Attributes:
        passed: without it nothing is said about a cloak.
        why: it did not pass; empty where it did.
        values: what was looked at, with each limit.
    """

    passed: bool
    why: str
    values: dict[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        values = {
            name: {"found": number_or_none(found), "limit": limit}
            for name, (found, limit) in self.values.items()
        }
        return {"passed": self.passed, "why": self.why, "values": values}


class Outcome(StrEnum):
    """What a cloak did to an attacker's fakes."""

    NO_FAKE = "no fake could be made"
    WORSE = "the fake is worse"
    SAME = "the fake is as good as before"
    BETTER = "the fake is better"
    NOT_SHOWN = "no difference was shown"
    TOO_FEW = "too few repetitions to tell"
    WEAK = "instrument too weak, nothing measured"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Verdict:
    """About one cloak and one attacker.

    Attributes:
        effect: on the measure that was chosen beforehand, against clean data; p adjusted for all such comparisons.
        control: the same of the cloak's control against clean data, or None.
        lost: share of the clean frames' faces that the attacker no longer gets; NaN where it is not known.
        effort: by how many times the training is longer to the same quality, NaN where it is not known.
    """

    variant: str
    attacker: Attacker
    outcome: Outcome
    sentence: str
    effect: Effect
    control: Effect | None
    lost: float
    effort: float

    def to_json(self) -> dict[str, Any]:
        return {
            "cloak": self.variant,
            "attacker": self.attacker.name,
            "outcome": str(self.outcome),
            "sentence": self.sentence,
            "effect": self.effect.to_json(),
            "control": None if self.control is None else self.control.to_json(),
            "faces lost": number_or_none(self.lost),
            "training to equal quality": number_or_none(self.effort),
        }


def baseline_of(result: Result, attacker: str) -> Baseline:
    """Of what an attacker's generator makes of clean data."""
    if result.kind is ExperimentKind.LIPSYNC:
        limits = {"lips opening": (LEAST_OPENING, 1), "face identity": (MOST_DLIB, -1)}
        needed = "lips opening"
    else:
        limits = {
            "swapped identity": (result.same_person, -1),
            "swapped taken for the person": (LEAST_NEARER, 1),
            "swapped dlib": (MOST_DLIB, -1),
        }
        needed = "swapped identity"
    found = {name: mean_of(result, CLEAN, attacker, name).value for name in limits}
    words = {name: MEASURES[name].name for name in limits}
    cells = [result.cells.get((CLEAN, attacker, repeat), {}) for repeat in result.options.repeats]
    own = [cell[OWN_PICTURE] for cell in cells if cell.get(OWN_PICTURE) is not None]
    if own:
        limits[OWN_PICTURE], found[OWN_PICTURE] = (LEAST_NEARER, 1), float(np.mean(own))
        words[OWN_PICTURE] = "nearer to the target with the target's own picture"
    values, missed = {}, []
    for name, (limit, better) in limits.items():
        if math.isnan(found[name]):
            continue
        values[name] = (found[name], limit)
        if (found[name] - limit) * better < 0:
            word = "at least" if better > 0 else "below"
            missed.append(f"{words[name]} {found[name]:.3f}, wanted {word} {limit:.2f}")
    if needed not in values:
        return Baseline(False, "no fake of clean data was measured", values)
    return Baseline(not missed, "; ".join(missed), values)


def verdicts(result: Result) -> list[Verdict]:
    """For every attacker each cloak, the attackers in the order in which they were named."""
    effects = primary_effects(result)
    return [
        _verdict(result, variant, attacker, effects)
        for attacker in result.options.parsed
        for variant in result.cloaked
    ]


def _verdict(
    result: Result, variant: str, attacker: Attacker, effects: dict[tuple[str, str], Effect]
) -> Verdict:
    effect = effects[variant, attacker.name]
    control = effects.get((result.options.cloaks[variant].control, attacker.name))
    before, after = (result.faces.get((one, attacker.name)) for one in (CLEAN, variant))
    lost = math.nan
    if before is not None and after is not None and before.kept:
        lost = 1 - after.kept / before.kept
    outcome = _outcome(result, variant, attacker, effect)
    sentence = f"Against an attacker who {attacker.sentence}, " + _said(result, outcome, effect, after)
    if outcome not in (Outcome.WEAK, Outcome.NOT_MEASURED):
        sentence += _beside(result, variant, attacker, control)
    effort = training_ratio(result, variant, attacker.name)
    return Verdict(variant, attacker, outcome, sentence + ".", effect, control, lost, effort)


def _outcome(result: Result, variant: str, attacker: Attacker, effect: Effect) -> Outcome:
    design = result.kind.design
    cells = [result.cells.get((variant, attacker.name, repeat)) for repeat in result.options.repeats]
    known = [one for one in cells if one is not None]
    base = baseline_of(result, attacker.name)
    if not base.values:
        return Outcome.NOT_MEASURED
    if not base.passed:
        return Outcome.WEAK
    if known and all("untrained" in one for one in known):
        return Outcome.NO_FAKE
    if not effect.difference.count:
        return Outcome.NOT_MEASURED
    verdict, low, high = effect.verdict, effect.difference.low, effect.difference.high
    if verdict in (Significance.HIGHER, Significance.LOWER):
        better = (effect.difference.value > 0) == (MEASURES[design.primary].better > 0)
        return Outcome.BETTER if better else Outcome.WORSE
    if low is not None and high is not None and -design.margin <= low and high <= design.margin:
        return Outcome.SAME
    return Outcome.TOO_FEW if verdict is Significance.TOO_FEW else Outcome.NOT_SHOWN


def _said(result: Result, outcome: Outcome, effect: Effect, faces: Any) -> str:
    design = result.kind.design
    measure, fake = MEASURES[design.primary], design.fake
    figures = (
        f"{measure.name} {number(effect.treated, measure.digits)} instead of "
        f"{number(effect.baseline, measure.digits)} ({change(effect.difference, measure.digits)}; {p_value(effect)})"
    )
    like = "looks {} like you" if result.kind is ExperimentKind.SWAP else "speaks {}"
    if outcome is Outcome.NO_FAKE:
        got = "" if faces is None else f": {faces.kept} of {faces.frames} frames gave a face to learn from"
        return f"no {fake} could be made{got}"
    if outcome is Outcome.WEAK:
        return f"nothing was measured: the {fake} of clean data is too weak to show anything"
    if outcome is Outcome.NOT_MEASURED:
        return "nothing was measured yet"
    if outcome is Outcome.SAME:
        return f"the {fake} {like.format('as much' if 'like' in like else 'as well')} as before: {figures}"
    if outcome is Outcome.TOO_FEW:
        count = effect.difference.count
        return f"{count} repetition{'s' * (count != 1)} cannot tell: {figures}"
    if outcome is Outcome.NOT_SHOWN:
        return f"no difference was shown: {figures}"
    word = {Outcome.WORSE: ("less", "worse"), Outcome.BETTER: ("more", "better")}[outcome]
    return f"the {fake} {like.format(word['like' not in like])} than before: {figures}"


def _beside(result: Result, variant: str, attacker: Attacker, control: Effect | None) -> str:
    """What the control alone does, so that nobody takes it for the cloak's merit."""
    name = result.options.cloaks[variant].control
    faces, words = result.faces.get((name, attacker.name)), control_in_words(name)
    measure = MEASURES[result.kind.design.primary]
    if control is not None and control.difference.count:
        return f"; with {words} {number(control.treated, measure.digits)}"
    if faces is not None and faces.frames:
        return f"; with {words} {faces.kept} of {faces.frames} frames give a face"
    return ""


def training_ratio(result: Result, variant: str, attacker: str) -> float:
    """How many times as long a generator learns from cloaked data until it rebuilds the person's clean faces as well as
    it ends up doing: its steps over those in which clean data leads there. 1 where cloaked data costs nothing.
    """
    clean, cloaked = (_learned(result, one, attacker) for one in (CLEAN, variant))
    if clean is None or cloaked is None:
        return math.nan
    steps, errors = clean
    reached = cloaked[1][-1]
    best = np.minimum.accumulate(errors)
    if reached <= best[-1]:
        return 1.0
    if reached >= best[0]:
        return float(cloaked[0][-1] / steps[0])
    place = int(np.argmax(best <= reached))
    share = (best[place - 1] - reached) / max(1e-9, best[place - 1] - best[place])
    at = steps[place - 1] + share * (steps[place] - steps[place - 1])
    return max(1.0, float(cloaked[0][-1] / at))


def _learned(result: Result, variant: str, attacker: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps, and the mean error after them, over repetitions that were measured at the same steps."""
    rows = [
        result.cells.get((variant, attacker, repeat), {}).get("effort") for repeat in result.options.repeats
    ]
    known = [row for row in rows if row]
    if not known:
        return None
    steps = sorted(set.intersection(*({step for step, _ in row} for row in known)))
    if not steps:
        return None
    means = [float(np.mean([dict(map(tuple, row))[step] for row in known])) for step in steps]
    return np.array(steps, float), np.array(means)


def number_or_none(value: float) -> float | None:
    """For JSON."""
    return round(value, 6) if math.isfinite(value) else None
