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
    """One for each repetition, NaN where nothing could be trained, or was not measured."""
    found = []
    for repeat in result.options.repeats:
        value = result.cells.get((variant, attacker, repeat), {}).get("measures", {}).get(measure)
        found.append(math.nan if value is None else float(value))
    return found


def effect_of(result: Result, variant: str, attacker: str, against: str = CLEAN, measure: str = "") -> Effect:
    """Of one measure, by default of the one that was chosen beforehand; p as it is."""
    name = measure or result.kind.design.primary
    compared = jackknifed if result.kind.design.jackknife else paired
    return compared(values(result, against, attacker, name), values(result, variant, attacker, name))


def primary_effects(result: Result) -> dict[tuple[str, str], Effect]:
    """Of the measure that was chosen beforehand, against clean data, by variant (cloaks and their controls) and
    attacker. p of the cloaks is adjusted for how many of them are compared, and so is p of the controls.
    """
    found: dict[tuple[str, str], Effect] = {}
    controls = {one.control for one in result.options.cloaks.values()}
    for group in (result.cloaked, [one for one in result.variants if one in controls]):
        named = {
            f"{variant}\n{attacker.name}": effect_of(result, variant, attacker.name)
            for variant in group
            for attacker in result.options.parsed
        }
        for name, effect in holm(named).items():
            variant, _, attacker_name = name.partition("\n")
            found[variant, attacker_name] = effect
    return found


def effects(result: Result, variant: str, attacker: str, against: str = CLEAN) -> dict[str, Effect]:
    """By measure, over pairs of equal repetitions. The measure that was chosen beforehand stands alone: its p is
    adjusted for the attackers and cloaks, as the verdict's is; p of the others for how many measures they are.
    """
    primary = result.kind.design.primary
    every = {name: effect_of(result, variant, attacker, against, name) for name in measures_in(result)}
    alone = {name: one for name, one in every.items() if name == primary}
    if alone and against == CLEAN:
        alone[primary] = primary_effects(result)[variant, attacker]
    others = holm({name: one for name, one in every.items() if name != primary})
    return {name: alone[name] if name in alone else others[name] for name in every}


def mean_of(result: Result, variant: str, attacker: str, measure: str) -> Estimate:
    """Over repetitions."""
    found = values(result, variant, attacker, measure)
    return widened(mean(found), len(found)) if result.kind.design.jackknife else mean(found)


def fake_quality(measure: Measure, effect: Effect) -> str:
    """What an effect means for the attacker's fakes: ``better`` or ``worse``, or why nothing is said."""
    if effect.verdict not in (Significance.HIGHER, Significance.LOWER):
        return str(effect.verdict)
    return "better" if (effect.difference.value > 0) == (measure.better > 0) else "worse"
