"""The report of an experiment: one sentence, tables, curves, pictures, and every figure for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synth.measure.attackers import Attacker
from synth.measure.conditions import CLEAN, NOISE
from synth.measure.experiment import Result
from synth.measure.judge import FAKE_PREFIX
from synth.measure.measures import LIMITS, MEASURES
from synth.measure.summary.effects import effect_of, effects, measures_in
from synth.measure.summary.figures import curves, galleries
from synth.measure.summary.tables import tables
from synth.measure.wording import change, number, p_value
from synth.report.document import Report, device_name


def experiment_report(result: Result) -> Report:
    """The whole report."""
    options, design = result.options, result.kind.design
    return Report(
        kind=result.kind,
        title=design.title,
        headline=_headline(result, result.strengths[-1]),
        summary=(*_summary(result), *result.notes),
        tables=tuple(tables(result)),
        curves=tuple(curves(result)),
        galleries=tuple(galleries(result)),
        limits=(*_limits_of_test(result), *design.limits, *LIMITS),
        configuration={
            "attackers": {one.name: one.sentence for one in options.parsed},
            "footage, SHA-256": result.files,
            "held-out faces": result.held_out,
            "left out before the held-out part": result.gaps,
            "features measured by": result.features,
            "distance between the two people": result.people_distance,
            **options.to_json(),
        },
        seeds=(options.cloak_seed,) if design.jackknife else options.repeats,
        device=device_name(options.device),
        seconds=result.seconds,
        data=_data(result),
    )


def _headline(result: Result, variant: str) -> str:
    attacker = result.options.parsed[0].name
    clean, cloaked = (result.faces[one, attacker] for one in (CLEAN, variant))
    noise = result.faces.get((NOISE + variant, attacker))
    control = f" (random noise of equal energy: {noise.kept})" if noise else ""
    text = (
        f"Of {clean.frames} frames cloaked at {variant}, an attacker who {Attacker.parse(attacker).sentence} gets "
        f"{cloaked.kept} faces instead of {clean.kept}{control}"
    )
    trained = [
        one.name for one in result.options.parsed if effect_of(result, variant, one.name).difference.count
    ]
    if attacker not in trained:
        text += " and can train no generator on them"
    if not trained:
        return text + "; nor can any other attacker that was tried."
    best = attacker if attacker in trained else trained[0]
    effect = effect_of(result, variant, best)
    design = result.kind.design
    measure = MEASURES[design.primary]
    who = (
        "their generator"
        if best == attacker
        else f"one who {Attacker.parse(best).sentence} can; the generator"
    )
    beyond = ""
    if noise:
        over = effects(result, variant, best, NOISE + variant)[design.primary]
        beyond = f", and by {change(over.difference, measure.digits)} against the noise"
    return (
        f"{text}; {who} {design.achieves} {number(effect.treated, measure.digits)} instead of "
        f"{number(effect.baseline, measure.digits)}: it changes by {change(effect.difference, measure.digits)} with "
        f"95 % confidence ({p_value(effect)}){beyond}."
    )


def _summary(result: Result) -> Iterator[str]:
    if result.real:
        judged = {name: score for name, score in result.real.items() if score is not None}
        said = ", ".join(f"{name} {score:.2f}" for name, score in judged.items()) or "none could judge"
        yield f"{result.kind.design.real}, as fake detectors score it (0: nothing found): {said}."
    silent = sorted(
        name.removeprefix(FAKE_PREFIX)
        for name in measures_in(result)
        if name.startswith(FAKE_PREFIX) and not _ever(result, name)
    )
    if silent:
        yield (
            f"Fake detectors that could judge none of the fakes: {', '.join(silent)} (blinking and pulse need four "
            "seconds with a face, docs/research/detect.md says what else). Nothing is known about these."
        )
    untrained: dict[tuple[str, str], list[str]] = {}
    for (variant, attacker, _), cell in result.cells.items():
        if "untrained" in cell:
            untrained.setdefault((variant, attacker), []).append(str(cell["untrained"]))
    for (variant, attacker), why in sorted(untrained.items()):
        runs = len(result.options.repeats)
        times = "" if len(why) == runs else f" in {len(why)} of {runs} runs"
        yield f"{variant}, attacker {attacker}: no generator{times}; {why[0]}."


def _ever(result: Result, name: str) -> bool:
    """Whether a measure was taken of any fake."""
    return any(cell.get("measures", {}).get(name) is not None for cell in result.cells.values())


def _data(result: Result) -> dict[str, Any]:
    tested: dict[str, Any] = {}
    for variant in result.strengths:
        for base in (CLEAN, NOISE + variant):
            if base in result.variants:
                tested[f"{variant} against {base}"] = {
                    one.name: {
                        name: effect.to_json()
                        for name, effect in effects(result, variant, one.name, base).items()
                    }
                    for one in result.options.parsed
                }
    return {
        "faces": [
            {
                "variant": variant,
                "attacker": attacker,
                "frames": one.frames,
                "kept": one.kept,
                "counts": one.counts,
            }
            for (variant, attacker), one in result.faces.items()
        ],
        "generators": [
            {"variant": variant, "attacker": attacker, "seed": seed, **cell}
            for (variant, attacker, seed), cell in result.cells.items()
        ],
        "real clip": result.real,
        "displaced": [
            {"variant": v, "attacker": a, "landmarks": one} for (v, a), one in result.displacement.items()
        ],
        "effects": tested,
    }


def _limits_of_test(result: Result) -> Iterator[str]:
    """What so few repetitions cannot show."""
    if result.kind.design.jackknife:
        yield "Intervals and p values take what leaving out a part changes for normally distributed."
        return
    seeds, measures = len(result.options.repeats), len(measures_in(result))
    least = 2.0 ** (1 - seeds)
    if least > 0.05:
        yield (
            f"{seeds} seeds cannot show a difference at 5 %: the least p that they can give is {least:.2g}, before it "
            "is adjusted for the number of measures. Read the intervals, and use ten seeds or more for a test."
        )
    elif least * measures > 0.05:
        yield (
            f"{seeds} seeds can show a difference at 5 % in the one measure that was chosen beforehand (the least p is "
            f"{least:.2g}), and in none of the {measures} measures of a table together. Read the intervals, and use "
            "ten seeds or more for a test."
        )
    yield (
        "Intervals are Student's t: they take the differences between pairs for normally distributed, which so few "
        "cannot show. The p values do not."
    )
