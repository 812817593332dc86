"""The curves and pictures of an experiment's report."""

from __future__ import annotations

from collections.abc import Iterator

from synth.measure import pictures
from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.measures import MEASURES
from synth.measure.stats import Estimate, mean
from synth.measure.summary.effects import mean_of, measures_in, values
from synth.measure.variants import control_in_words
from synth.report.curve import MOST_LINES
from synth.report.document import Curve, Gallery, Point, Shot

_DRAWN = ("swapped identity", "rebuilt flip", "lips error", "lips opening", "mouth ssim")


def curves(result: Result) -> Iterator[Curve]:
    """Faces by variant, the main measures by variant, and what clean data among the cloaked is worth."""
    names = tuple(result.variants)
    attackers = [one.name for one in result.options.parsed][:MOST_LINES]
    lines = {}
    for attacker in attackers:
        found = [result.faces.get((variant, attacker)) for variant in names]
        lines[attacker] = tuple(
            Point(place, 100 * one.kept / max(1, one.frames))
            for place, one in enumerate(found)
            if one is not None
        )
    yield Curve(
        "Faces an attacker gets", "what is published", "% of frames", lines, ticks=names, bounds=(0, 100)
    )
    for measure in _DRAWN:
        if measure not in measures_in(result):
            continue
        lines = {}
        for attacker in attackers:
            means = [mean_of(result, variant, attacker, measure) for variant in names]
            if any(one.count for one in means):
                lines[attacker] = tuple(_point(place, one) for place, one in enumerate(means))
        about = MEASURES[measure]
        note = f"{about.about}; means over {result.kind.design.over}, bars are 95 % intervals."
        if lines:
            yield Curve(about.name, "what is published", about.name, lines, ticks=names, note=note)
    if any(one.share for one in result.options.parsed) and "swapped identity" in measures_in(result):
        yield _mixing_curve(result)


def _mixing_curve(result: Result) -> Curve:
    """From none (who looks with the same detectors) to all of it (who learns from clean data), where measured."""
    by_share = {one.share: one.name for one in result.options.parsed if one.share}
    none = [one.name for one in result.options.parsed if one.name == "attacked"]
    lines = {}
    for variant in result.cloaked:
        cells = [(0.0, variant, name) for name in none]
        cells += [(100 * share, variant, by_share[share]) for share in sorted(by_share)]
        cells += [(100.0, CLEAN, name) for name in none if 1.0 not in by_share]
        points = [(x, mean(values(result, one, name, "swapped identity"))) for x, one, name in cells]
        lines[variant] = tuple(_point(x, one) for x, one in points if one.count)
    return Curve(
        "What clean data among the cloaked is worth",
        "% of the data that is clean",
        MEASURES["swapped identity"].name,
        lines,
    )


def galleries(result: Result) -> Iterator[Gallery]:
    """What is published, and what the generators made of it."""
    for variant in result.cloaked:
        if variant not in result.published:
            continue
        control = result.options.cloaks[variant].control
        shots = pictures.comparison(
            result.published[CLEAN], result.published[variant], result.published.get(control),
            "a published frame, clean", f"cloaked: {variant}", control_in_words(control),
        )  # fmt: skip
        yield Gallery(f"What is published: {variant}", tuple(shots), slider=True)
    design = result.kind.design
    first = design.repeat.format(result.options.repeats[0]).capitalize()
    for attacker in result.options.parsed:
        made = [
            Shot(f"learned from: {variant}", path.read_bytes())
            for (variant, name), path in result.sheets.items()
            if name == attacker.name
        ]
        if made:
            yield Gallery(
                f"{design.shown} (attacker {attacker.name})",
                tuple(made),
                slider=len(made) > 1,
                note=f"{first}, the same frames of held-out footage. Each picture is synthetic, marked, and "
                "signed as such: saved on its own, it still says so.",
            )


def _point(place: float, one: Estimate) -> Point:
    return Point(place, one.value, one.low, one.high)
