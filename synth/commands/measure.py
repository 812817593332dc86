"""``veilmark measure``: what a cloak is worth, in figures and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.device import usable_device
from provenance.commands.console import clean, fraction, note, print_json, stdout
from provenance.commands.work import desk_for
from provenance.errors import UsageError
from provenance.home import Home
from synth.commands.extract import Consents, Declared, WeightsFolder, permission
from synth.commands.options import Attacked, Device, IdentityName, NoPictures, PlanOnly, ReportFolder
from synth.interrupt import interruptible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.measure.cache import Cache
    from synth.measure.experiment import Result, WorkEstimate
    from synth.report.document import Report

measure_app = typer.Typer(
    help="What a cloak is worth: detectors, a face swapper and a lip-sync with and without it.",
    no_args_is_help=True,
)
WORK_FOLDER = ".work"
_UNSIGNED = (
    "note: the report will show no generated pictures, which must be signed; `veilmark init` makes a key"
)

Json = Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")]


@measure_app.command("detectors")
def detectors(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of them: the originals.")],
    output: ReportFolder,
    cloaked: Annotated[
        list[Path] | None,
        typer.Option(
            "--cloaked",
            help="Their cloaked copies, told by the manifest's parent or the name. Default: cloak them here.",
        ),
    ] = None,
    strength: Annotated[
        str, typer.Option(help="At which strengths to cloak, comma-separated: low, mid, high.")
    ] = "mid",
    against: Annotated[
        str | None,
        typer.Option(
            "--detectors",
            help="Detectors the cloak is (or was) made against, comma-separated. Default: all that can be attacked.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Of the cloak's search.")] = 60,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the cloak and of the noise.")] = 0,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Also measure random noise of equal energy.")
    ] = True,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    show: Annotated[
        str | None,
        typer.Option(
            "--show", help="Pictures that the report shows, by file name, comma-separated. Default: four."
        ),
    ] = None,
    no_pictures: NoPictures = False,
    as_json: Json = False,
) -> None:
    """Ask every installed detector about clean and cloaked pictures, and about plain noise, after what published
    pictures go through.

    Interrupted, it goes on with the next picture when run again. The folder holds the pictures: share it as you would
    them. Exit codes: 0 measured; 6 no face.
    """
    from synth.measure.cache import Cache
    from synth.measure.detectors.experiment import DetectorOptions, measure_detectors
    from synth.measure.detectors.pairs import Pair, pair_up, pictures_in
    from synth.measure.detectors.report import detectors_report

    options = DetectorOptions(
        strengths=_names(strength),
        attacked=_names(against) if against is not None else None,
        steps=steps,
        seed=seed,
        control=control,
        weights=weights,
        device=usable_device(device),
    )
    originals = pictures_in(paths)
    if cloaked:
        pairs, notes = pair_up(originals, pictures_in(cloaked))
        for line in notes:
            note(f"note: {line}")
    else:
        pairs = [Pair(path) for path in originals]
    cache = Cache(output / WORK_FOLDER)
    with cache.leaving_nothing_empty(), fraction("Measuring") as report:
        measured = measure_detectors(pairs, options, cache, progress=report)
    shown = () if no_pictures else _names(show) if show else None
    finish(detectors_report(measured, options, cache, shown), output, as_json, no_pictures)


@measure_app.command("swap")
def swap(
    person: Annotated[
        Path, typer.Option("--person", help="Whose face is stolen: a video, or a folder of pictures.")
    ],
    target: Annotated[Path, typer.Option("--target", help="The video into which the face is put.")],
    output: ReportFolder,
    preset: Annotated[
        str, typer.Option("--preset", help="tiny (an hour on two cores) or full (the whole grid, for a GPU).")
    ] = "tiny",
    strength: Annotated[
        str | None, typer.Option(help="Of the cloak, comma-separated: low, mid, high.")
    ] = None,
    attackers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: naive, cleans:jpeg|blur|denoise|resize, other:DETECTOR, mixes:PERCENT (of clean "
            "data)."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Of the generators, comma-separated; three at least.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=10, help="Of each training.")] = None,
    frames: Annotated[int | None, typer.Option(min=20, help="Published, at most.")] = None,
    held_out: Annotated[
        int | None, typer.Option(min=2, help="Held-out frames to measure on, at most.")
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=128, help="Longer side of what is published, pixels.")
    ] = None,
    against: Attacked = None,
    cloak_steps: Annotated[int | None, typer.Option(min=1, help="Of the cloak's search, a round.")] = None,
    plan: PlanOnly = False,
    consent: Consents = None,
    i_have_consent: Declared = False,
    identity: IdentityName = None,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    no_pictures: NoPictures = False,
    as_json: Json = False,
) -> None:
    """Train the same face swapper on a person's footage clean, cloaked, and with random noise, and compare the fakes.

    Ctrl-C stops; the same command goes on there. No generated clip is kept; generated pictures in the report are marked
    and signed as synthetic (after `veilmark init`). Exit codes: 0 measured; 6 no face; 8 no consent.
    """
    from synth.measure.cache import Cache
    from synth.measure.swap.experiment import estimate_work, measure_swap, require_video
    from synth.measure.swap.options import FEWEST_SEEDS, PRESETS

    if preset not in PRESETS:
        raise UsageError(f"no preset is called {preset[:40]!r}", hint="one of " + ", ".join(PRESETS))
    asked: dict[str, Any] = {
        "strengths": _names(strength) if strength is not None else None,
        "attackers": _names(attackers) if attackers is not None else None,
        "seeds": _numbers(seeds) if seeds is not None else None,
        "against": _names(against) if against is not None else None,
        "steps": steps,
        "frames": frames,
        "held_out": held_out,
        "side": side,
        "cloak_steps": cloak_steps,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    options = replace(PRESETS[preset], **given, weights=weights, device=usable_device(device))
    if len(options.seeds) < FEWEST_SEEDS:
        raise UsageError(
            f"{len(options.seeds)} seeds, expected at least {FEWEST_SEEDS}",
            hint="give, say, --seeds 1,2,3; only with six or more can a test show anything",
        )
    basis = {
        side: permission(_files(path), consent, i_have_consent)
        for side, path in (("a", person), ("b", target))
    }
    sentence = "; ".join(dict.fromkeys(one.sentence for one in basis.values()))
    cache = Cache(output / WORK_FOLDER)
    with cache.leaving_nothing_empty():
        require_video(target)
        _tell_estimate(estimate_work(person, options, cache))
    if plan:
        return
    consents = {side: one.to_json() for side, one in basis.items()}
    with _working(cache, identity, sentence, "swap") as how:
        result = measure_swap(person, target, consents, options, cache, **how)
    _finish_experiment(result, output, as_json, no_pictures)


@measure_app.command("lipsync")
def lipsync(
    person: Annotated[Path, typer.Option("--person", help="A video in which one person speaks.")],
    output: ReportFolder,
    strength: Annotated[str, typer.Option(help="Of the cloak, comma-separated: low, mid, high.")] = "mid",
    attackers: Annotated[
        str, typer.Option(help="Comma-separated: naive, cleans:jpeg|blur|denoise|resize, other:DETECTOR.")
    ] = "naive,other:mtcnn",
    parts: Annotated[
        int,
        typer.Option(
            min=3,
            max=20,
            help="Into so many the footage is cut; each lip-sync goes without another one of them.",
        ),
    ] = 5,
    side: Annotated[int, typer.Option(min=128, help="Longer side of what is published, pixels.")] = 640,
    against: Attacked = None,
    cloak_steps: Annotated[int, typer.Option(min=1, help="Of the cloak's search, a round.")] = 60,
    plan: PlanOnly = False,
    consent: Consents = None,
    i_have_consent: Declared = False,
    identity: IdentityName = None,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    no_pictures: NoPictures = False,
    as_json: Json = False,
) -> None:
    """Lip-sync a person from footage that is clean, cloaked, or has random noise, and compare how they then say what
    they really said in footage that was held out.

    Ctrl-C stops; the same command goes on there. No generated clip is kept; generated pictures in the report are marked
    and signed as synthetic (after `veilmark init`). Exit codes: 0 measured; 6 no face; 8 no consent.
    """
    from synth.measure.cache import Cache
    from synth.measure.lipsync.experiment import estimate_work, measure_lipsync
    from synth.measure.lipsync.options import LipsyncExperimentOptions

    options = LipsyncExperimentOptions(
        strengths=_names(strength),
        attackers=_names(attackers),
        against=_names(against) if against is not None else None,
        side=side,
        cloak_steps=cloak_steps,
        parts=parts,
        weights=weights,
        device=usable_device(device),
    )
    basis = permission(_files(person), consent, i_have_consent)
    _tell_estimate(estimate_work(person, options))
    if plan:
        return
    cache = Cache(output / WORK_FOLDER)
    with _working(cache, identity, basis.sentence, "lipsync") as how:
        result = measure_lipsync(person, basis.to_json(), options, cache, **how)
    _finish_experiment(result, output, as_json, no_pictures)


def _tell_estimate(estimate: WorkEstimate) -> None:
    for line in estimate.lines():
        note(line)


@contextmanager
def _working(cache: Cache, identity: str | None, consent: str, kind: str) -> Iterator[dict[str, Any]]:
    """What an experiment is given to report progress, to be stopped and to label with."""
    home = Home.locate()
    if not home.is_initialized():
        note(_UNSIGNED)
    label = _labeller(home, identity, consent, kind) if home.is_initialized() else None
    with (
        cache.leaving_nothing_empty(),
        interruptible() as interrupted,
        fraction("Measuring") as report,
    ):
        yield {"tell": note, "progress": report, "stop": interrupted, "label": label}


def _finish_experiment(result: Result, output: Path, as_json: bool, no_pictures: bool) -> None:
    from synth.measure.summary.report import experiment_report

    finish(experiment_report(result), output, as_json, no_pictures)


def _labeller(
    home: Home, identity: str | None, consent: str, kind: str
) -> Callable[[NDArray[np.uint8], Path, int], None]:
    """Writes generated pictures marked and signed as synthetic."""
    from synth.label import Generated, label_picture

    def label(pixels: NDArray[np.uint8], path: Path, seed: int) -> None:
        about = Generated(f"veilmark measure {kind}", [], False, clean(consent, 4000), seed)
        with desk_for(home, identity) as desk:
            label_picture(pixels, path, about, desk, force=True)

    return label


def _files(path: Path) -> list[Path]:
    from synth.extraction.footage import open_footage

    return [source.path for source in open_footage(path)]


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in _names(text))
    except ValueError:
        raise UsageError(f"{text[:60]!r} is no list of numbers", hint="give, say, --seeds 1,2,3") from None


def finish(report: Report, output: Path, as_json: bool, no_pictures: bool = False) -> None:
    """Write the report and say its headline."""
    from synth.report.document import without_pictures
    from synth.report.write import write_report

    report = without_pictures(report) if no_pictures else report
    page, data = write_report(report, output)
    if as_json:
        print_json({**report.to_json(), "page": str(page), "file": str(data)})
        return
    console = stdout()
    console.print(clean(report.headline, 2000), markup=False)
    for line in report.summary:
        console.print(f"  {clean(line, 1000)}", markup=False)
    console.print(f"{page}: the whole report; {data.name} beside it has every figure", markup=False)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
