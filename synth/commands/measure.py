"""``veilmark measure``: what a cloak is worth, in figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.device import usable_device
from cloak.veils.names import VeilName
from provenance.commands.support.console import clean, note, print_json, say
from provenance.commands.support.grouped import grouped
from provenance.commands.support.work import session_for
from provenance.commands.support.workers import Cluster, Processes, workers_for
from provenance.errors import UsageError, combine
from provenance.home import Home
from provenance.interrupt import interruptible
from synth.commands.options import ConsentGroup, ExperimentGroup, MeasureGroup, ReportFolder, names_of
from synth.commands.progress import reporting

if TYPE_CHECKING:
    from synth.measure.detectors.experiment import DetectorOptions
    from synth.measure.lipsync.options import LipsyncExperimentOptions
    from synth.measure.run import ConsentBasis, Measured, SessionOpener
    from synth.measure.swap.options import SwapExperimentOptions

measure_app = typer.Typer(
    help="What a cloak is worth: detectors, a face swapper and a lip-sync with and without it.",
    no_args_is_help=True,
)


@dataclass(frozen=True)
class DetectorsGroup:
    """How pictures are cloaked for `veilmark measure detectors`."""

    strength: Annotated[
        str, typer.Option(help="At which strengths to cloak, comma-separated: low, mid, high.")
    ] = "mid"
    against: Annotated[
        str | None,
        typer.Option(
            "--detectors",
            help="Detectors the cloak is (or was) made against, comma-separated. Default: all that can be attacked.",
        ),
    ] = None
    veil: Annotated[VeilName, typer.Option(help="What the cloak looks like.")] = VeilName.FILM
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Of the cloak's search.")] = 60
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the cloak and of the control.")] = 0
    control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control",
            help="Also measure the same veil with random parameters; for plain noise, random noise of equal energy.",
        ),
    ] = True

    def options(self, common: MeasureGroup) -> DetectorOptions:
        from synth.measure.detectors.experiment import DetectorOptions

        return DetectorOptions(
            strengths=names_of(self.strength),
            veil=self.veil,
            attacked=names_of(self.against) if self.against is not None else None,
            steps=self.steps,
            seed=self.seed,
            control=self.control,
            weights=common.weights,
            device=usable_device(common.device),
        )


@dataclass(frozen=True)
class SwapGroup:
    """One experiment with a face swapper; None is the preset's value."""

    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="tiny (some hours on two cores; --plan says how many) or full (the whole grid, for a GPU).",
        ),
    ] = "tiny"
    strength: Annotated[str | None, typer.Option(help="Of the cloak, comma-separated: low, mid, high.")] = (
        None
    )
    attackers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: naive (a detector that was not attacked), attacked, "
            "cleans:jpeg|blur|denoise|resize|learned, other:DETECTOR, mixes:PERCENT (of clean data), one-shot."
        ),
    ] = None
    seeds: Annotated[str | None, typer.Option(help="Of the generators, comma-separated; three at least.")] = (
        None
    )
    steps: Annotated[int | None, typer.Option(min=10, help="Of each training.")] = None
    people: Annotated[
        list[Path] | None,
        typer.Option(help="Footage of a further person for the one-shot attacker to learn from. Repeatable."),
    ] = None
    frames: Annotated[int | None, typer.Option(min=20, help="Published, at most.")] = None
    held_out: Annotated[int | None, typer.Option(min=2, help="Held-out frames to measure on, at most.")] = (
        None
    )
    side: Annotated[int | None, typer.Option(min=128, help="Longer side of what is published, pixels.")] = (
        None
    )
    cloak_steps: Annotated[int | None, typer.Option(min=1, help="Of the cloak's search, a round.")] = None
    cloak_rounds: Annotated[int | None, typer.Option(min=1, help="Of the cloak's search.")] = None

    def options(self, experiment: ExperimentGroup, common: MeasureGroup) -> SwapExperimentOptions:
        from synth.measure.swap.options import PRESETS

        if self.preset not in PRESETS:
            raise UsageError(f"no preset is called {self.preset[:40]!r}", hint="one of " + ", ".join(PRESETS))
        asked: dict[str, Any] = {
            "strengths": names_of(self.strength) if self.strength is not None else None,
            "attackers": names_of(self.attackers) if self.attackers is not None else None,
            "seeds": _numbers(self.seeds) if self.seeds is not None else None,
            "against": experiment.attacked,
            "steps": self.steps,
            "people": tuple(self.people) if self.people else None,
            "frames": self.frames,
            "held_out": self.held_out,
            "side": self.side,
            "cloak_steps": self.cloak_steps,
            "cloak_rounds": self.cloak_rounds,
            **experiment.cloaks,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return replace(
            PRESETS[self.preset], **given, weights=common.weights, device=usable_device(common.device)
        )


@dataclass(frozen=True)
class LipsyncGroup:
    """One experiment with a lip-sync."""

    strength: Annotated[str, typer.Option(help="Of the cloak, comma-separated: low, mid, high.")] = "mid"
    attackers: Annotated[
        str,
        typer.Option(
            help="Comma-separated: naive (a detector that was not attacked), attacked, "
            "cleans:jpeg|blur|denoise|resize|learned, other:DETECTOR."
        ),
    ] = "naive,attacked"
    parts: Annotated[
        int,
        typer.Option(
            min=3,
            max=20,
            help="Into so many the footage is cut; each lip-sync goes without another one of them.",
        ),
    ] = 5
    side: Annotated[int, typer.Option(min=128, help="Longer side of what is published, pixels.")] = 640
    cloak_steps: Annotated[int, typer.Option(min=1, help="Of the cloak's search, a round.")] = 60

    def options(self, experiment: ExperimentGroup, common: MeasureGroup) -> LipsyncExperimentOptions:
        from synth.measure.lipsync.options import LipsyncExperimentOptions

        return LipsyncExperimentOptions(
            strengths=names_of(self.strength),
            attackers=names_of(self.attackers),
            against=experiment.attacked,
            side=self.side,
            cloak_steps=self.cloak_steps,
            **experiment.cloaks,
            parts=self.parts,
            weights=common.weights,
            device=usable_device(common.device),
        )


@measure_app.command("detectors")
@grouped
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
    show: Annotated[
        str | None,
        typer.Option(
            "--show", help="Pictures that the report shows, by file name, comma-separated. Default: four."
        ),
    ] = None,
    jobs: Processes = 1,
    cluster: Cluster = None,
    *,
    cloaking: DetectorsGroup,
    common: MeasureGroup,
) -> None:
    """Ask every installed detector about clean and cloaked pictures, and about a control, after what published pictures
    go through.

    Interrupted, it goes on with the next picture when run again. The folder holds the pictures: share it as you would
    them. Exit codes: 0 measured; 6 no face.
    """
    from synth.measure.run import Listener, run_detectors

    options = cloaking.options(common)
    with workers_for(cluster, jobs) as executor, reporting("Measuring") as report:
        measured = run_detectors(
            paths,
            output,
            options,
            cloaked=cloaked or (),
            shown=names_of(show) if show else None,
            pictures=not common.no_pictures,
            executor=executor,
            workers=0 if cluster else jobs,
            listener=Listener(tell=note, progress=report),
        )
    finish(measured, common.as_json)


@measure_app.command("swap")
@grouped
def swap(
    person: Annotated[
        Path, typer.Option("--person", help="Whose face is stolen: a video, or a folder of pictures.")
    ],
    target: Annotated[Path, typer.Option("--target", help="The video into which the face is put.")],
    output: ReportFolder,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="Also with the two exchanged; each order is reported for itself, in a folder of its own.",
        ),
    ] = False,
    *,
    swapping: SwapGroup,
    experiment: ExperimentGroup,
    consent: ConsentGroup,
    common: MeasureGroup,
) -> None:
    """Train the same face swapper on a person's footage clean, cloaked, and with random noise, and compare the fakes.

    Ctrl-C stops; the same command goes on there. No generated clip is kept; generated pictures in the report are marked
    and signed as synthetic (after `veilmark init`). Exit codes: 0 measured; 6 no face; 7 the instrument
    was too weak to measure anything, or time ran out; 8 no consent.
    """
    from synth.measure.run import Listener, run_swap

    options, home = swapping.options(experiment, common), Home.locate()
    orders = [(person, target, output / "first-into-second" if both_ways else output)]
    if both_ways:
        orders.append((target, person, output / "second-into-first"))
    codes = []
    for whose, into, folder in orders:
        with interruptible() as interrupted, reporting("Measuring") as report:
            measured = run_swap(
                whose,
                into,
                folder,
                options,
                _basis(consent, home),
                home=home,
                session=_session(home, experiment.identity),
                plan_only=experiment.plan,
                pictures=not common.no_pictures,
                listener=Listener(note, report, interrupted, experiment.minutes),
            )
        if measured:
            told(measured, common.as_json)
            codes.append(measured.exit_code)
    if code := combine(codes):
        raise typer.Exit(code)


@measure_app.command("lipsync")
@grouped
def lipsync(
    person: Annotated[Path, typer.Option("--person", help="A video in which one person speaks.")],
    output: ReportFolder,
    speaking: LipsyncGroup,
    experiment: ExperimentGroup,
    consent: ConsentGroup,
    common: MeasureGroup,
) -> None:
    """Lip-sync a person from footage that is clean, cloaked, or has random noise, and compare how they then say what
    they really said in footage that was held out.

    Ctrl-C stops; the same command goes on there. No generated clip is kept; generated pictures in the report are marked
    and signed as synthetic (after `veilmark init`). Exit codes: 0 measured; 6 no face; 7 the instrument
    was too weak to measure anything, or time ran out; 8 no consent.
    """
    from synth.measure.run import Listener, run_lipsync

    options, home = speaking.options(experiment, common), Home.locate()
    with interruptible() as interrupted, reporting("Measuring") as report:
        measured = run_lipsync(
            person,
            output,
            options,
            _basis(consent, home),
            home=home,
            session=_session(home, experiment.identity),
            plan_only=experiment.plan,
            pictures=not common.no_pictures,
            listener=Listener(note, report, interrupted, experiment.minutes),
        )
    if measured:
        finish(measured, common.as_json)


def _basis(consent: ConsentGroup, home: Home) -> ConsentBasis:
    from provenance.commands.support.secrets import passphrase_for
    from synth.measure.run import ConsentBasis

    return ConsentBasis(consent.statements, consent.i_have_consent, lambda name: passphrase_for(home, name))


def _session(home: Home, identity: str | None) -> SessionOpener | None:
    """What signs generated pictures, where there is an identity."""
    return (lambda: session_for(home, identity)) if home.is_initialized() else None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in names_of(text))
    except ValueError:
        raise UsageError(f"{text[:60]!r} is no list of numbers", hint="give, say, --seeds 1,2,3") from None


def finish(measured: Measured, as_json: bool) -> None:
    """Say the report's headline and where it lies, and end with its exit code."""
    told(measured, as_json)
    if measured.exit_code:
        raise typer.Exit(measured.exit_code)


def told(measured: Measured, as_json: bool) -> None:
    """Say the report's headline, and where it lies."""
    if as_json:
        print_json(measured.to_json())
        return
    say(clean(measured.report.headline, 2000))
    for line in measured.report.summary:
        say(f"  {clean(line, 1000)}")
    say(f"{measured.page}: the whole report; {measured.data.name} and report.csv beside it have every figure")
