"""The tables of an experiment's report."""

from __future__ import annotations

import math
from collections.abc import Iterator

from synth.measure.conditions import CLEAN, NOISE
from synth.measure.experiment import Result
from synth.measure.summary.effects import effects, fake_quality, mean_of, measures_in
from synth.measure.wording import bare_p, change, interval, number
from synth.report.document import Table, percent


def tables(result: Result) -> Iterator[Table]:
    """In the order in which they are read."""
    if result.displacement:
        yield _displacement_table(result)
    yield _faces_table(result)
    for variant in result.strengths:
        for attacker in result.options.parsed:
            yield from _effect_table(result, variant, attacker.name)
    yield _means_table(result)


def _displacement_table(result: Result) -> Table:
    rows = []
    for attacker in result.options.parsed:
        found = [result.displacement.get((variant, attacker.name), math.nan) for variant in result.variants]
        rows.append((attacker.name, *(number(one, 4) for one in found)))
    return Table(
        "How far are landmarks displaced?",
        ("attacker", *result.variants),
        tuple(rows),
        "Mean distance from the landmarks found in the clean footage, in distances between the eyes.",
    )


def _faces_table(result: Result) -> Table:
    decoys = result.kind.design.counts_decoys
    rows = []
    for attacker in result.options.parsed:
        cells = []
        for variant in result.variants:
            one = result.faces[variant, attacker.name]
            text = f"{one.kept} ({percent(one.kept / one.frames if one.frames else math.nan)})"
            seen = one.counts.get("not-a-face", 0) if decoys else 0
            cells.append(f"{text}; {seen} decoys" if seen else text)
        rows.append((attacker.name, *cells))
    frames = result.faces[CLEAN, result.options.parsed[0].name].frames
    about = "; a decoy is a frame in which a detector reports only what FaceMesh takes for no face" * decoys
    return Table(
        "How many faces does an attacker get?",
        ("attacker", *result.variants),
        tuple(rows),
        f"Of {frames} published frames, faces that extraction keeps for training{about}. Frames of one clip "
        "are no independent evidence, so no test is made of them. "
        + "; ".join(f"{one.name}: {one.sentence}" for one in result.options.parsed),
    )


def _effect_table(result: Result, variant: str, attacker: str) -> Iterator[Table]:
    """One table, or none where nothing could be compared."""
    rows: list[tuple[str, ...]] = []
    tested = 0
    for base, words in ((CLEAN, "clean data"), (NOISE + variant, "random noise of equal energy")):
        if base not in result.variants:
            continue
        found = effects(result, variant, attacker, base)
        measured = sum(1 for one in found.values() if one.difference.count)
        if not measured:
            continue
        tested = max(tested, measured)
        rows.append((f"against {words}",))
        for name, measure in measures_in(result).items():
            one = found[name]
            rows.append(
                (
                    measure.name,
                    number(one.baseline, measure.digits),
                    number(one.treated, measure.digits),
                    change(one.difference, measure.digits),
                    bare_p(one),
                    fake_quality(measure, one),
                )
            )
    if not rows:
        return
    design, count = result.kind.design, len(result.options.repeats)
    least = "" if design.jackknife else f"; before that no p below {2.0 ** (1 - count):.2g} is possible"
    yield Table(
        f"Is the generator worse? ({variant}, attacker {attacker})",
        ("measure", "without", "cloaked", "difference, 95 %", "p", "so the fake is"),
        tuple(rows),
        f"{design.test.format(count=count)}, adjusted by Holm for {tested} measures{least}.",
    )


def _means_table(result: Result) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, measure in measures_in(result).items():
        better = "more" if measure.better > 0 else "less"
        rows.append((f"{measure.name} ({measure.about}; {better} is a better fake)",))
        for attacker in result.options.parsed:
            means = [mean_of(result, variant, attacker.name, name) for variant in result.variants]
            rows.append((attacker.name, *(interval(one, measure.digits, *measure.bounds) for one in means)))
    return Table(
        f"Every measure, means over {result.kind.design.over} with 95 % intervals",
        ("attacker", *result.variants),
        tuple(rows),
    )
