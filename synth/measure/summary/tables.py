"""The tables of an experiment's report."""

from __future__ import annotations

import math
from collections.abc import Iterator

from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.measures import MEASURES
from synth.measure.summary.effects import effects, fake_quality, mean_of, measures_in
from synth.measure.summary.verdict import Outcome, baseline_of, verdicts
from synth.measure.variants import control_in_words
from synth.measure.wording import bare_p, change, interval, number
from synth.report.document import Table, percent


def tables(result: Result) -> Iterator[Table]:
    """In the order in which they are read. Of an attacker whose fakes of clean data are too weak, no effect is told."""
    yield _verdict_table(result)
    if result.displacement:
        yield _displacement_table(result)
    yield _faces_table(result)
    for variant in result.cloaked:
        for attacker in result.options.parsed:
            if baseline_of(result, attacker.name).passed:
                yield from _effect_table(result, variant, attacker.name)
    yield _means_table(result)


def _verdict_table(result: Result) -> Table:
    """The verdicts of :mod:`synth.measure.summary.verdict`, with what a cloak costs an attacker."""
    measure = MEASURES[result.kind.design.primary]
    rows = []
    for one in verdicts(result):
        told = one.outcome not in (Outcome.WEAK, Outcome.NOT_MEASURED)
        effect, control = one.effect, one.control
        rows.append(
            (
                one.attacker.name,
                one.variant,
                str(one.outcome),
                number(effect.baseline, measure.digits) if told else "-",
                number(effect.treated, measure.digits) if told else "-",
                number(control.treated, measure.digits) if told and control is not None else "-",
                bare_p(effect) if told else "-",
                percent(one.lost),
                f"{one.effort:.1f} times" if told and math.isfinite(one.effort) else "-",
            )
        )
    better = "more" if measure.better > 0 else "less"
    return Table(
        "Can they still make a fake?",
        (
            "attacker", "cloak", "verdict", f"{measure.name}: clean", "cloaked", "control", "p", "faces lost",
            "training to equal quality",
        ),
        tuple(rows),
        f"{measure.name}: {measure.about}; {better} is a better fake, after equal steps of training. p is adjusted by "
        f"Holm for the {len(rows)} rows. Training to equal quality: how many times as long it takes on cloaked data to "
        "rebuild clean faces as well as it ends up doing. The control is as visible, and nothing was searched for it.",
    )  # fmt: skip


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
            one = result.faces.get((variant, attacker.name))
            if one is None:
                cells.append("not measured")
                continue
            text = f"{one.kept} ({percent(one.kept / one.frames if one.frames else math.nan)})"
            seen = one.counts.get("not-a-face", 0) if decoys else 0
            cells.append(f"{text}; {seen} decoys" if seen else text)
        rows.append((attacker.name, *cells))
    frames = max((one.frames for one in result.faces.values()), default=0)
    left_out = ", ".join(result.options.left_out) or "none"
    about = "; a decoy is a frame in which a detector reports only what FaceMesh takes for no face" * decoys
    return Table(
        "How many faces does an attacker get?",
        ("attacker", *result.variants),
        tuple(rows),
        f"Of {frames} published frames, faces that extraction keeps for training{about}. Frames of one clip "
        "are no independent evidence, so no test is made of them. The cloak leaves out these families of detectors: "
        f"{left_out}. All attackers follow the face through frames in which no detector reports it. "
        + "; ".join(f"{one.name}: {one.sentence}" for one in result.options.parsed),
    )


def _effect_table(result: Result, variant: str, attacker: str) -> Iterator[Table]:
    """One table, or none where nothing could be compared."""
    rows: list[tuple[str, ...]] = []
    tested = 0
    control = result.options.cloaks[variant].control
    for base, words in ((CLEAN, "clean data"), (control, control_in_words(control))):
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
        f"{design.test.format(count=count)}. Against clean data {MEASURES[design.primary].name} was chosen beforehand "
        f"and is adjusted for attackers and cloaks, the others for {tested - 1} measures{least}. The cloak leaves out: "
        f"{', '.join(result.options.left_out) or 'no family of detectors'}.",
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
