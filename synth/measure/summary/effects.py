"""What learning from one variant instead of another changed, measure by measure."""

from __future__ import annotations

import math

from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.judge import FAKE_PREFIX
from synth.measure.measures import MEASURES, Measure
from synth.measure.stats import Effect, Estimate, Significance, holm, jackknifed, mean, paired, widened


def measures_in(result: Result) -> dict[str, Measure]:
    """Those that were measured, the fake detectors' last."""
    seen = {name for cell in result.cells.values() for name in cell.get("measures", {})}
    known = {name: one for name, one in MEASURES.items() if name in seen}
    return known | {
        name: Measure(
            f"fake detector {name.removeprefix(FAKE_PREFIX)}", -1, 3, "0: nothing found, 1: a fake", (0, 1)
        )
        for name in sorted(seen)
        if name.startswith(FAKE_PREFIX)
    }


def values(result: Result, variant: str, attacker: str, measure: str) -> list[float]:
    """One for each repetition, NaN where nothing could be trained or measured."""
    found = []
    for repeat in result.options.repeats:
        value = result.cells[variant, attacker, repeat].get("measures", {}).get(measure)
        found.append(math.nan if value is None else float(value))
    return found


def effect_of(result: Result, variant: str, attacker: str, against: str = CLEAN, measure: str = "") -> Effect:
    """Of one measure: by default of the one that was chosen beforehand to sum up with, so that its p is not adjusted
    for the others.
    """
    name = measure or result.kind.design.primary
    compared = jackknifed if result.kind.design.jackknife else paired
    return compared(values(result, against, attacker, name), values(result, variant, attacker, name))


def effects(result: Result, variant: str, attacker: str, against: str = CLEAN) -> dict[str, Effect]:
    """By measure, over pairs of equal repetitions; p adjusted for the number of measures."""
    return holm({name: effect_of(result, variant, attacker, against, name) for name in measures_in(result)})


def mean_of(result: Result, variant: str, attacker: str, measure: str) -> Estimate:
    """Over repetitions."""
    found = values(result, variant, attacker, measure)
    return widened(mean(found), len(found)) if result.kind.design.jackknife else mean(found)


def fake_quality(measure: Measure, effect: Effect) -> str:
    """What an effect means for the attacker's fakes: ``better`` or ``worse``, or why nothing is said."""
    if effect.verdict not in (Significance.HIGHER, Significance.LOWER):
        return str(effect.verdict)
    return "better" if (effect.difference.value > 0) == (measure.better > 0) else "worse"
