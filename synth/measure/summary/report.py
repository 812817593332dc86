"""The report of an experiment: one sentence, tables, curves, pictures, and every figure for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.judge import FAKE_PREFIX
from synth.measure.measures import LIMITS
from synth.measure.summary.effects import effects, measures_in
from synth.measure.summary.figures import curves, galleries
from synth.measure.summary.tables import tables
from synth.measure.summary.verdict import baseline_of, verdicts
from synth.report.document import Report, device_name


def experiment_report(result: Result) -> Report:
    """The whole report."""
    options, design = result.options, result.kind.design
    return Report(
        kind=result.kind,
        title=design.title,
        headline=headline(result),
        summary=(*_summary(result), *result.notes),
        valid=_valid(result),
        finished=result.finished,
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
            "identity judged by": result.identity,
            "families the cloak left out": list(options.left_out),
            **options.to_json(),
            # where that lies on this machine is nobody's business
            "weights": "a folder with further detectors" if options.weights else None,
        },
        seeds=options.cloak_seeds if design.jackknife else options.repeats,
        device=device_name(options.device),
        seconds=result.seconds,
        data=_data(result),
    )


def headline(result: Result) -> str:
    """A plain verdict for each attacker, about the first cloak; or that nothing was measured."""
    bases = {one.name: baseline_of(result, one.name) for one in result.options.parsed}
    measured = {name: base for name, base in bases.items() if base.values}
    if not measured:
        return f"Not finished: no {result.kind.design.fake} of clean data was measured yet."
    if not any(base.passed for base in measured.values()):
        why = "; ".join(dict.fromkeys(base.why for base in measured.values()))
        return (
            f"Instrument too weak, nothing measured: the {result.kind.design.fake} made of clean data does not pass "
            f"({why}). Nothing is said about a cloak."
        )
    first = result.cloaked[0]
    said = " ".join(one.sentence for one in verdicts(result) if one.variant == first)
    before = "" if result.finished else "Not finished. "
    return f"{before}Cloaked ({first}): {said}"


def _valid(result: Result) -> bool:
    """Whether the generator could do on clean data what a cloak is to prevent, for any attacker."""
    return any(baseline_of(result, one.name).passed for one in result.options.parsed)


def _summary(result: Result) -> Iterator[str]:
    if not result.finished:
        every = len(result.variants) * len(result.options.parsed) * len(result.options.repeats)
        yield (
            f"Not finished: {len(result.cells)} of {every} generators were measured. The same command goes on there; "
            'what is missing says "not measured".'
        )
    first = result.cloaked[0]
    for one in verdicts(result):
        if one.variant != first and _valid(result):
            yield f"Cloaked ({one.variant}): {one.sentence}"
    for attacker in result.options.parsed:
        base = baseline_of(result, attacker.name)
        if base.values and not base.passed and _valid(result):
            yield f"Attacker {attacker.name}: instrument too weak, nothing measured ({base.why})."
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
    for (variant, name, _), cell in result.cells.items():
        if "untrained" in cell:
            untrained.setdefault((variant, name), []).append(str(cell["untrained"]))
    for (variant, name), why in sorted(untrained.items()):
        runs = len(result.options.repeats)
        times = "" if len(why) == runs else f" in {len(why)} of {runs} runs"
        yield f"{variant}, attacker {name}: no generator{times}; {why[0]}."


def _ever(result: Result, name: str) -> bool:
    """Whether a measure was taken of any fake."""
    return any(cell.get("measures", {}).get(name) is not None for cell in result.cells.values())


def _data(result: Result) -> dict[str, Any]:
    tested: dict[str, Any] = {}
    bases = {one.name: baseline_of(result, one.name) for one in result.options.parsed}
    for variant in result.cloaked:
        for base in (CLEAN, result.options.cloaks[variant].control):
            if base in result.variants:
                tested[f"{variant} against {base}"] = {
                    one.name: {
                        name: effect.to_json()
                        for name, effect in effects(result, variant, one.name, base).items()
                    }
                    for one in result.options.parsed
                    if bases[one.name].passed
                }
    return {
        "baseline": {name: base.to_json() for name, base in bases.items()},
        "verdicts": [one.to_json() for one in verdicts(result)],
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
    seeds = len(result.options.repeats)
    measures = sum(_ever(result, name) for name in measures_in(result)) - 1
    rows = len(result.cloaked) * len(result.options.parsed)
    least = 2.0 ** (1 - seeds)
    if least > 0.05:
        yield (
            f"{seeds} seeds cannot show a difference at 5 %: the least p that they can give is {least:.2g}, before it "
            "is adjusted for the number of measures. Read the intervals, and use ten seeds or more for a test."
        )
    elif least * max(measures, rows) > 0.05:
        yield (
            f"{seeds} seeds give no p below {least:.2g}. Adjusted for the {rows} verdicts that is "
            f"{min(1.0, least * rows):.2g}, for the {measures} other measures of a table "
            f"{min(1.0, least * measures):.2g}. Read the intervals, and use ten seeds or more for a test."
        )
    yield (
        "Intervals are Student's t: they take the differences between pairs for normally distributed, which so few "
        "cannot show. The p values do not."
    )
