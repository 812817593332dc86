"""From extracted faces and measured generators to tables, curves, pictures, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from synth.measure import pictures
from synth.measure.detectors.experiment import NOISE
from synth.measure.measures import KINDS, LIMITS, MEASURES, PREFIX, Measure
from synth.measure.stats import Effect, Estimate, holm, jackknifed, mean, paired, widened
from synth.measure.swap.experiment import Result
from synth.measure.swap.options import CLEAN, Attacker
from synth.measure.wording import bare_p, change, interval, number, p_value
from synth.report.document import Curve, Gallery, Point, Report, Shot, Table, device_name, percent

#: Options that say nothing about a lip-sync.
_NOT_OF_LIPSYNC = ("preset", "steps", "seeds", "frames", "held_out", "generator")


def measures_in(result: Result) -> dict[str, Measure]:
    """Those that were measured, the fake detectors' last."""
    seen = {name for cell in result.cells.values() for name in cell.get("measures", {})}
    known = {name: one for name, one in MEASURES.items() if name in seen}
    extra = sorted(name for name in seen if name.startswith(PREFIX))
    more = {
        name: Measure(
            f"fake detector {name.removeprefix(PREFIX)}", -1, 3, "0: nothing found, 1: a fake", (0, 1)
        )
        for name in extra
    }
    return {**known, **more}


def values(result: Result, variant: str, attacker: str, measure: str) -> list[float]:
    """One for each seed, NaN where nothing could be trained or measured."""
    found = []
    for seed in result.options.seeds:
        value = result.cells[variant, attacker, seed].get("measures", {}).get(measure)
        found.append(math.nan if value is None else float(value))
    return found


def effects(result: Result, variant: str, attacker: str, against: str = CLEAN) -> dict[str, Effect]:
    """By measure: what learning from a variant changed, over pairs of equal seeds, or without the same part of the
    footage; p adjusted for the number of measures.
    """
    return holm({name: _effect(result, variant, attacker, against, name) for name in measures_in(result)})


def mean_of(result: Result, variant: str, attacker: str, measure: str) -> Estimate:
    """Over seeds, or over parts that were left out."""
    found = values(result, variant, attacker, measure)
    return widened(mean(found), len(found)) if result.kind == "lipsync" else mean(found)


def worse(measure: Measure, effect: Effect) -> str:
    """What an effect means for the attacker's fakes."""
    if effect.verdict not in ("higher", "lower"):
        return effect.verdict
    return "better" if (effect.difference.value > 0) == (measure.better > 0) else "worse"


def report_of(result: Result) -> Report:
    """The whole report."""
    options = result.options
    cloaked = [name for name in result.variants[1:] if not name.startswith(NOISE)]
    configured = options.to_json()
    if result.kind == "lipsync":
        for name in _NOT_OF_LIPSYNC:
            configured.pop(name)
        configured["parts of the footage, one left out at a time"] = len(options.seeds)
    return Report(
        kind=result.kind,
        title=KINDS[result.kind].title,
        headline=_headline(result, cloaked[-1]),
        summary=(*_summary(result), *result.notes),
        tables=(*_faces_tables(result), *_effect_tables(result, cloaked), _means_table(result)),
        curves=tuple(_curves(result, cloaked)),
        galleries=tuple(_galleries(result, cloaked)),
        limits=(*_few(result), *KINDS[result.kind].limits, *LIMITS),
        configuration={
            "attackers": {one.name: one.sentence for one in options.parsed},
            "footage, SHA-256": result.files,
            "held-out faces": result.held_out,
            "left out before the held-out part": result.gaps,
            "features measured by": result.features,
            "distance between the two people": result.apart,
            **configured,
        },
        seeds=options.seeds if result.kind == "swap" else (options.cloak_seed,),
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
        one.name for one in result.options.parsed if _effect(result, variant, one.name).difference.count
    ]
    if attacker not in trained:
        text += " and can train no generator on them"
    if not trained:
        return text + "; nor can any other attacker that was tried."
    best = attacker if attacker in trained else trained[0]
    effect = _effect(result, variant, best)
    words = KINDS[result.kind]
    measure = MEASURES[words.primary]
    who = (
        "their generator"
        if best == attacker
        else f"one who {Attacker.parse(best).sentence} can; the generator"
    )
    beyond = ""
    if noise:
        over = effects(result, variant, best, NOISE + variant)[words.primary]
        beyond = f", and by {change(over.difference, measure.digits)} against the noise"
    return (
        f"{text}; {who} {words.achieves} {number(effect.treated, measure.digits)} instead of "
        f"{number(effect.baseline, measure.digits)}: it changes by {change(effect.difference, measure.digits)} with "
        f"95 % confidence ({p_value(effect)}){beyond}."
    )


def _effect(
    result: Result, variant: str, attacker: str, against: str = CLEAN, measure: str | None = None
) -> Effect:
    """Of one measure: by default of the one that was chosen beforehand to sum up with, so that its p is not adjusted
    for the others.
    """
    name = measure or KINDS[result.kind].primary
    compared = jackknifed if result.kind == "lipsync" else paired
    return compared(values(result, against, attacker, name), values(result, variant, attacker, name))


def _summary(result: Result) -> Iterator[str]:
    if result.real:
        judged = {name: score for name, score in result.real.items() if score is not None}
        said = ", ".join(f"{name} {score:.2f}" for name, score in judged.items()) or "none could judge"
        what = "The held-out frames as filmed" if result.kind == "lipsync" else "The target's real clip"
        yield f"{what}, as fake detectors score it (0: nothing found): {said}."
    silent = sorted(
        name.removeprefix(PREFIX)
        for name in measures_in(result)
        if name.startswith(PREFIX) and not _ever(result, name)
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
        times = (
            ""
            if len(why) == len(result.options.seeds)
            else f" in {len(why)} of {len(result.options.seeds)} runs"
        )
        yield f"{variant}, attacker {attacker}: no generator{times}; {why[0]}."


def _ever(result: Result, name: str) -> bool:
    """Whether a measure was taken of any fake."""
    return any(cell.get("measures", {}).get(name) is not None for cell in result.cells.values())


def _faces_tables(result: Result) -> Iterator[Table]:
    rows = []
    for attacker in result.options.parsed:
        cells = []
        for variant in result.variants:
            one = result.faces[variant, attacker.name]
            decoys = one.counts.get("not-a-face", 0) if result.kind == "lipsync" else 0
            cells.append(
                f"{one.kept} ({percent(one.kept / one.frames if one.frames else math.nan)})"
                + (f"; {decoys} decoys" if decoys else "")
            )
        rows.append((attacker.name, *cells))
    frames = result.faces[CLEAN, result.options.parsed[0].name].frames
    if result.tracks:
        yield Table(
            "How far are landmarks displaced?",
            ("attacker", *result.variants),
            tuple(
                (
                    one.name,
                    *(number(result.tracks.get((v, one.name), math.nan), 4) for v in result.variants),
                )
                for one in result.options.parsed
            ),
            "Mean distance from the landmarks found in the clean footage, in distances between the eyes.",
        )
    yield Table(
        "How many faces does an attacker get?",
        ("attacker", *result.variants),
        tuple(rows),
        f"Of {frames} published frames, faces that extraction keeps for training{_decoys(result)}. Frames of one clip "
        "are no independent evidence, so no test is made of them. "
        + "; ".join(f"{a.name}: {a.sentence}" for a in result.options.parsed),
    )


def _decoys(result: Result) -> str:
    if result.kind != "lipsync":
        return ""
    return "; a decoy is a frame in which a detector reports only what FaceMesh takes for no face"


def _effect_tables(result: Result, cloaked: list[str]) -> Iterator[Table]:
    shown = measures_in(result)
    for variant in cloaked:
        against = [CLEAN] + ([NOISE + variant] if NOISE + variant in result.variants else [])
        for attacker in result.options.parsed:
            rows: list[tuple[str, ...]] = []
            for base in against:
                found = effects(result, variant, attacker.name, base)
                if not any(one.difference.count for one in found.values()):
                    continue
                rows.append((f"against {'clean data' if base == CLEAN else 'random noise of equal energy'}",))
                for name, measure in shown.items():
                    one = found[name]
                    rows.append(
                        (
                            measure.name,
                            number(one.baseline, measure.digits),
                            number(one.treated, measure.digits),
                            change(one.difference, measure.digits),
                            bare_p(one),
                            worse(measure, one),
                        )
                    )
            if not rows:
                continue
            count = len(result.options.seeds)
            least = (
                ""
                if result.kind == "lipsync"
                else (f"; before that no p below {2.0 ** (1 - count):.2g} is possible")
            )
            tested = max(
                sum(
                    1
                    for one in effects(result, variant, attacker.name, base).values()
                    if one.difference.count
                )
                for base in against
            )
            how = KINDS[result.kind].repetition.format(count=count)
            yield Table(
                f"Is the generator worse? ({variant}, attacker {attacker.name})",
                ("measure", "without", "cloaked", "difference, 95 %", "p", "so the fake is"),
                tuple(rows),
                f"{how}, adjusted by Holm for {tested} measures{least}.",
            )


def _means_table(result: Result) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, measure in measures_in(result).items():
        rows.append(
            (
                f"{measure.name} ({measure.about}; {'more' if measure.better > 0 else 'less'} is a better fake)",
            )
        )
        for attacker in result.options.parsed:
            cells = [
                interval(mean_of(result, variant, attacker.name, name), measure.digits, *measure.bounds)
                for variant in result.variants
            ]
            rows.append((attacker.name, *cells))
    return Table(
        f"Every measure, means over {KINDS[result.kind].over} with 95 % intervals",
        ("attacker", *result.variants),
        tuple(rows),
    )


def _curves(result: Result, cloaked: list[str]) -> Iterator[Curve]:
    names = tuple(result.variants)
    attackers = [one.name for one in result.options.parsed]
    yield Curve(
        "Faces an attacker gets",
        "what is published",
        "% of frames",
        {
            name: tuple(
                Point(
                    place, 100 * result.faces[variant, name].kept / max(1, result.faces[variant, name].frames)
                )
                for place, variant in enumerate(names)
            )
            for name in attackers[:6]
        },
        ticks=names,
        bounds=(0, 100),
    )
    for measure in ("rebuilt ssim", "swapped identity", "lips error", "lips opening", "mouth ssim"):
        if measure not in measures_in(result):
            continue
        lines = {}
        for attacker in attackers[:6]:
            means = [mean_of(result, variant, attacker, measure) for variant in names]
            if any(one.count for one in means):
                lines[attacker] = tuple(_point(place, one) for place, one in enumerate(means))
        about = MEASURES[measure]
        if lines:
            yield Curve(
                about.name, "what is published", about.name, lines, ticks=names,
                note=f"{about.about}; means over {KINDS[result.kind].over}, bars are 95 % intervals.",
            )  # fmt: skip
    shares = sorted(one.share for one in result.options.parsed if one.share)
    if shares and "rebuilt ssim" in measures_in(result):
        yield _mixing_curve(result, cloaked, shares)


def _mixing_curve(result: Result, cloaked: list[str], shares: list[float]) -> Curve:
    """From none (the naive attacker's) to all of it (who learns from clean data), where these were measured."""
    lines = {}
    by_share = {one.share: one.name for one in result.options.parsed if one.share}
    naive = [one.name for one in result.options.parsed if one.name == "naive"]
    for variant in cloaked:
        cells = [(0.0, variant, name) for name in naive]
        cells += [(100 * share, variant, by_share[share]) for share in shares]
        cells += [(100.0, CLEAN, name) for name in naive if 1.0 not in by_share]
        points = [(x, mean(values(result, one, name, "rebuilt ssim"))) for x, one, name in cells]
        lines[variant] = tuple(_point(x, one) for x, one in points if one.count)
    return Curve(
        "What clean data among the cloaked is worth",
        "% of the data that is clean",
        MEASURES["rebuilt ssim"].name,
        lines,
    )


def _galleries(result: Result, cloaked: list[str]) -> Iterator[Gallery]:
    for variant in cloaked:
        clean, other = result.published[CLEAN], result.published[variant]
        shots = [
            Shot("a published frame, clean", pictures.jpeg(pictures.shrunk(clean))),
            Shot(f"cloaked at {variant}", pictures.jpeg(pictures.shrunk(other))),
            Shot(
                f"what was changed, {pictures.GAIN} times (grey: nothing)",
                pictures.jpeg(pictures.shrunk(pictures.amplified(clean, other))),
            ),
        ]
        if NOISE + variant in result.published:
            noise = pictures.jpeg(pictures.shrunk(result.published[NOISE + variant]))
            shots.append(Shot("random noise of equal energy", noise))
        yield Gallery(f"What is published: cloaked at {variant}", tuple(shots), slider=True)
    for attacker in result.options.parsed:
        made = [
            Shot(f"learned from: {variant}", path.read_bytes())
            for (variant, name), path in result.sheets.items()
            if name == attacker.name
        ]
        if made:
            yield Gallery(
                f"{KINDS[result.kind].shown} (attacker {attacker.name})",
                tuple(made),
                slider=len(made) > 1,
                note=f"{_first(result)}, the same frames of held-out footage. Each picture is synthetic, marked, and "
                "signed as such: saved on its own, it still says so.",
            )


def _data(result: Result) -> dict[str, Any]:
    cloaked = [name for name in result.variants[1:] if not name.startswith(NOISE)]
    tested: dict[str, Any] = {}
    for variant in cloaked:
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
            {"variant": v, "attacker": a, "landmarks": one} for (v, a), one in result.tracks.items()
        ],
        "effects": tested,
    }


def _first(result: Result) -> str:
    return "Without part 1" if result.kind == "lipsync" else f"Seed {result.options.seeds[0]}"


def _few(result: Result) -> Iterator[str]:
    seeds = len(result.options.seeds)
    least = 2.0 ** (1 - seeds)
    if result.kind == "swap" and least > 0.05:
        yield (
            f"{seeds} seeds cannot show a difference at 5 %: the least p that they can give is {least:.2g}, before it "
            "is adjusted for the number of measures. Read the intervals, and use ten seeds or more for a test."
        )
    elif result.kind == "swap" and least * len(measures_in(result)) > 0.05:
        yield (
            f"{seeds} seeds can show a difference at 5 % in the one measure that was chosen beforehand (the least p is "
            f"{least:.2g}), and in none of the {len(measures_in(result))} measures of a table together. Read the "
            "intervals, and use ten seeds or more for a test."
        )
    yield (
        "Intervals are Student's t: they take the differences between pairs for normally distributed, which so few "
        "cannot show. The p values do not."
        if result.kind == "swap"
        else "Intervals and p values take what leaving out a part changes for normally distributed."
    )


def _point(place: float, one: Estimate) -> Point:
    return Point(place, one.value, one.low, one.high)
