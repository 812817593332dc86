"""From what detectors saw to tables, curves, pictures, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from provenance.errors import UsageError
from synth.measure import pictures
from synth.measure.cache import Cache
from synth.measure.conditions import CONDITIONS
from synth.measure.detectors.errors import called, condition_tables, every_report, published_table
from synth.measure.detectors.experiment import DetectorMeasurements, DetectorOptions, versions_of
from synth.measure.stats import Effect, Estimate, holm, mean, paired, paired_shares, share
from synth.measure.wording import bare_p, control_words, interval, number, p_value, points
from synth.report.document import Curve, Gallery, Point, Report, Table, device_name, percent

_MOST_SHOWN = 4
_BOUNDS = {"ssim": (-1.0, 1.0), "flip": (0.0, 1.0)}
_ATTACKED, _UNSEEN = "attacked", "unseen"
_LIMITS = (
    "Faces are those that at least two families of detectors report in the clean picture: a face that only one family "
    "sees, or none, is not counted.",
    "Detectors of today's large platforms, and people, were not asked. A detector that was not attacked usually still "
    "finds the face.",
    "Nobody cleaned the pictures on purpose here; docs/research/countermeasures.md has what denoising brings back.",
    "A hidden face is not an unrecognisable one: whoever marks it by hand can still compare it.",
    "Pictures of one person or one camera are more alike than chance assumes; the intervals are then too narrow.",
)


@dataclass(frozen=True)
class Counts:
    """Of each picture: found faces (the mean over a group of detectors, whose answers about one face are no independent
    evidence), and its faces.
    """

    found: list[float]
    of: list[float]


def counts(rows: Sequence[dict[str, Any]], version: str, condition: str, names: Sequence[str]) -> Counts:
    """How many faces some detectors find, picture by picture."""
    seen = [[row["seen"][version][condition][name]["found"] for name in names] for row in rows]
    return Counts([sum(one) / max(1, len(names)) for one in seen], [float(len(row["faces"])) for row in rows])


def recall_effects(
    measured: DetectorMeasurements, version: str, condition: str = "nothing"
) -> dict[str, Effect]:
    """By detector: what a version changed in the share of faces found, against the clean picture under the same
    condition; p adjusted for the number of detectors.
    """
    effects = {}
    for name in measured.detectors:
        clean = counts(measured.rows, "clean", condition, [name])
        other = counts(measured.rows, version, condition, [name])
        effects[name] = paired_shares(clean.found, other.found, clean.of)
    return holm(effects)


def group_effect(
    measured: DetectorMeasurements,
    version: str,
    names: Sequence[str],
    condition: str = "nothing",
    against: str = "clean",
) -> Effect:
    """The same for a group of detectors together."""
    first = counts(measured.rows, against, condition, names)
    other = counts(measured.rows, version, condition, names)
    return paired_shares(first.found, other.found, first.of)


def detectors_report(
    measured: DetectorMeasurements, options: DetectorOptions, cache: Cache, shown: Sequence[str] | None = None
) -> Report:
    """The whole report; reads pictures again for what it shows.

    Args:
        shown: names of the pictures that it shows; None for the first four.

    Raises:
        UsageError: a name that is none of the pictures'.
    """
    groups = groups_of(measured, options)
    cloaked = measured.cloaked
    faces = sum(len(row["faces"]) for row in measured.rows)
    main = cloaked[len(cloaked) // 2]
    return Report(
        kind="detectors",
        title="What face detectors see in cloaked pictures",
        headline=_headline(measured, groups, main, faces),
        summary=tuple(_summary(measured, groups, main)),
        tables=tuple(_tables(measured, groups, cloaked)),
        curves=tuple(_curves(measured, groups, cloaked)),
        galleries=tuple(_galleries(measured, options, cache, cloaked, shown)),
        limits=(*_few(measured), *_LIMITS),
        configuration={
            "pictures": f"{len(measured.rows)} with {faces} faces: "
            + ", ".join(row["name"] for row in measured.rows[:40]),
            "cloaked": "by somebody before; attacked detectors as named, or as by default"
            if measured.pairs[0].cloaked
            else "here, with the options below",
            **options.to_json(),
            "weights": "a folder with further detectors" if options.weights else None,
            "not attacked": groups[_UNSEEN],
            "conditions": list(CONDITIONS),
        },
        seeds=(options.seed,),
        device=device_name(options.device),
        seconds=sum(row["seconds"] for row in measured.rows),
        data={
            "pictures": [_without_boxes(row) for row in measured.rows],
            "effects": _effects(measured),
            "reports": every_report(measured),
            "landmarks": {
                version: {name: one.to_json() for name, one in landmark_effects(measured, version).items()}
                for version in cloaked
                if measured.control_of(version)
            },
        },
    )


def groups_of(measured: DetectorMeasurements, options: DetectorOptions) -> dict[str, list[str]]:
    """Names of the attacked detectors, and of those that the cloak never saw."""
    hit = [name for name in measured.detectors if name in options.against]
    return {_ATTACKED: hit, _UNSEEN: [name for name in measured.detectors if name not in hit]}


def _headline(measured: DetectorMeasurements, groups: dict[str, list[str]], version: str, faces: int) -> str:
    parts = []
    for group, words in ((_ATTACKED, "was made against"), (_UNSEEN, "never saw")):
        names = groups[group]
        if not names:
            continue
        effect = group_effect(measured, version, names)
        who = f"the {len(names)} detectors" if len(names) > 1 else f"{names[0]}, the one detector"
        chance = f"; {p_value(effect)}" if group == _ATTACKED else ""
        parts.append(
            f"{percent(effect.treated)} by {who} that the cloak {words} (clean: {percent(effect.baseline)}; "
            f"{points(effect.difference)} with 95 % confidence{chance})"
        )
    number_of = (
        f"{faces} face{'s' * (faces != 1)} in {len(measured.rows)} picture{'s' * (len(measured.rows) != 1)}"
    )
    return f"Of {number_of}, {called(version)} and as published, are still found: {'; and '.join(parts)}."


def _summary(measured: DetectorMeasurements, groups: dict[str, list[str]], version: str) -> Iterator[str]:
    if control := measured.control_of(version):
        names = [groups[group] for group in (_ATTACKED, _UNSEEN) if groups[group]]
        shares = [percent(group_effect(measured, control, one).treated) for one in names]
        words = control_words(control).capitalize()
        yield f"{words} in the cloak's place: {' and '.join(shares)} are found."
    for group in (_ATTACKED, _UNSEEN):
        if not groups[group]:
            continue
        worst = max(CONDITIONS, key=lambda name: group_effect(measured, version, groups[group], name).treated)
        effect = group_effect(measured, version, groups[group], worst)
        if worst == "nothing":
            continue
        yield (
            f"After the condition that helps the {group} detectors most ({worst}) they find {percent(effect.treated)} "
            f"(clean pictures, treated alike: {percent(effect.baseline)})."
        )
    quality = [row["quality"][version]["face"]["psnr"] for row in measured.rows]
    yield (
        f"The price, on the face that suffers most of each picture: PSNR {number(mean(_floats(quality)).value, 1)} dB."
    )
    yield from measured.notes


def _tables(
    measured: DetectorMeasurements, groups: dict[str, list[str]], cloaked: Sequence[str]
) -> Iterator[Table]:
    for version in cloaked:
        yield _recall_table(measured, groups, version)
        yield _condition_table(measured, groups, version)
    yield published_table(measured, groups)
    yield from condition_tables(measured, groups)
    yield _quality_table(measured)


def _recall_table(measured: DetectorMeasurements, groups: dict[str, list[str]], version: str) -> Table:
    control = measured.control_of(version)
    effects = recall_effects(measured, version)
    rows: list[tuple[str, ...]] = []
    for group, names in groups.items():
        if names:
            rows.append((f"{group} detectors",))
        for name in names:
            one = effects[name]
            plain = percent(_share(measured, control, "nothing", [name]).value) if control else "not shown"
            figures = (percent(one.baseline), percent(one.treated), plain, points(one.difference))
            rows.append((name, *figures, bare_p(one), one.verdict))
    return Table(
        f"Are faces still found as published? ({called(version)})",
        ("detector", "clean", "cloaked", "control", "difference, 95 %", "p", "so the share is"),
        tuple(rows),
        (f"Share of faces found (recall). Control: {control_words(control)}. " if control else "")
        + "p: exact sign-flip test over pictures, adjusted by Holm for the number of "
        f"detectors; {len(measured.rows)} pictures can give no p below {_least(measured)}.",
    )


def _condition_table(measured: DetectorMeasurements, groups: dict[str, list[str]], version: str) -> Table:
    control = measured.control_of(version)
    rows: list[tuple[str, ...]] = []
    for group, names in groups.items():
        if names:
            rows.append((f"{group} detectors: clean / cloaked" + (" / control" if control else ""),))
        for label, members in [*((name, [name]) for name in names), ("together", names)]:
            cells = []
            for condition in CONDITIONS:
                shown = [
                    _share(measured, one, condition, members).value
                    for one in ("clean", version, control)
                    if one
                ]
                cells.append(" / ".join(f"{100 * value:.0f}" for value in shown))
            rows.append((label, *cells))
    return Table(
        f"And after what a published picture goes through? ({called(version)})",
        ("detector", *CONDITIONS),
        tuple(rows),
        "Share of faces found, in percent.",
    )


def _quality_table(measured: DetectorMeasurements) -> Table:
    rows = []
    for version in measured.versions:
        cells = [version]
        for part in ("face", "picture"):
            for name, digits in (("psnr", 1), ("ssim", 3), ("flip", 3)):
                values = _floats([row["quality"][version][part][name] for row in measured.rows])
                cells.append(interval(mean(values), digits, *_BOUNDS.get(name, ())))
        rows.append(tuple(cells))
    return Table(
        "What does it cost the eye?",
        (
            "version",
            "face PSNR dB",
            "face SSIM",
            "face FLIP",
            "picture PSNR dB",
            "picture SSIM",
            "picture FLIP",
        ),
        tuple(rows),
        "Means over pictures with 95 % intervals; of each picture the face that suffered most. FLIP: mean perceived "
        "error, 0 for none.",
    )


def _curves(
    measured: DetectorMeasurements, groups: dict[str, list[str]], cloaked: Sequence[str]
) -> Iterator[Curve]:
    for group, names in groups.items():
        if not names:
            continue
        lines = {}
        shown = ["clean", *cloaked, *filter(None, map(measured.control_of, cloaked))]
        for version in shown:
            made = []
            for place, condition in enumerate(CONDITIONS):
                one = _share(measured, version, condition, names)
                reach = [None if bound is None else 100 * bound for bound in (one.low, one.high)]
                made.append(Point(place, 100 * one.value, *reach))
            lines[version] = tuple(made)
        yield Curve(
            f"Faces found by the {group} detectors together",
            "condition",
            "% of faces found",
            lines,
            ticks=tuple(CONDITIONS),
            bounds=(0, 100),
            note=f"{', '.join(names)}; bars are 95 % intervals.",
        )


def _galleries(
    measured: DetectorMeasurements,
    options: DetectorOptions,
    cache: Cache,
    cloaked: Sequence[str],
    shown: Sequence[str] | None,
) -> Iterator[Gallery]:
    known = [row["name"] for row in measured.rows]
    unknown = [name for name in shown or () if name not in known]
    if unknown:
        raise UsageError(
            f"no measured picture is called {unknown[0][:60]!r}", hint=f"among {', '.join(known[:20])}"
        )
    wanted = known[:_MOST_SHOWN] if shown is None else shown
    for row, pair in zip(measured.rows, measured.pairs, strict=True):
        if row["name"] not in wanted:
            continue
        names = list(cloaked)
        clean, versions = versions_of(pair, names, options, cache)
        for version in names[:2]:
            yield pictures.gallery(row, clean, version, versions, measured.control_of(version))


def _effects(measured: DetectorMeasurements) -> dict[str, Any]:
    return {
        version: {
            condition: {
                name: one.to_json() for name, one in recall_effects(measured, version, condition).items()
            }
            for condition in CONDITIONS
        }
        for version in measured.versions
    }


def landmark_effects(measured: DetectorMeasurements, version: str) -> dict[str, Effect]:
    """By detector: how much further than by its control, which it must have, its landmarks are moved, over pictures
    in which it still reports faces in both.
    """
    effects = {}
    for name in measured.detectors:
        means = [
            [mean(row["seen"][shown]["nothing"][name]["landmarks"]).value for row in measured.rows]
            for shown in (measured.control_of(version) or "", version)
        ]
        effects[name] = paired(*means)
    return holm(effects)


def _few(measured: DetectorMeasurements) -> Iterator[str]:
    if len(measured.rows) < 20:
        yield f"{len(measured.rows)} pictures tell which kind of effect there is, not exact rates."


def _least(measured: DetectorMeasurements) -> str:
    return f"{max(2.0 ** (1 - len(measured.rows)), 5e-5):.2g}"


def _share(measured: DetectorMeasurements, version: str, condition: str, names: Sequence[str]) -> Estimate:
    counted = counts(measured.rows, version, condition, names)
    return share(counted.found, counted.of)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if one is None else float(one) for one in values]


def _without_boxes(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "boxes"}
