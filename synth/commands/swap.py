"""``veilmark synth train``, ``prior`` and ``swap``: teach a face swapper, and use it. What it makes leaves labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.device import usable_device
from provenance.commands.support.console import clean, fraction, note, print_json, say
from provenance.commands.support.grouped import grouped
from provenance.commands.support.work import session_for
from provenance.errors import ExitCode, MissingModelError, UsageError
from provenance.home import Home
from provenance.interrupt import interruptible
from synth.commands.options import ConsentGroup, Device, GenerateGroup, IdentityName, Json, Seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.extraction import FaceSet
    from synth.swap.config import Preset
    from synth.swap.training.checkpoint import Origin
    from synth.swap.training.train import TrainingResult

_SHOWN_FACES = 6

#: Seconds of training from which on they are told beforehand.
_LONG = 300.0


@dataclass(frozen=True)
class TrainGroup:
    """How a swapper, or a prior, is trained."""

    preset: Annotated[
        str, typer.Option("--preset", help="tiny (64 px), small (128 px) or full (256 px).")
    ] = "small"
    steps: Annotated[
        int | None, typer.Option(help="Steps of all phases together. Default: the preset's.")
    ] = None
    seed: Seed = 0
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in the output folder was stopped.")
    ] = False
    features: Annotated[
        str | None, typer.Option("--features", help="Network of the feature loss: dlib, onet or none.")
    ] = None
    device: Device = "cpu"
    compiled: Annotated[bool, typer.Option("--compile", help="Let torch.compile make kernels first.")] = False
    until_time: Annotated[
        str | None,
        typer.Option(
            "--until-time", help="Stop then, ready to resume: HH:MM, or a duration such as 90m or 3h."
        ),
    ] = None
    identity: IdentityName = None
    as_json: Json = False


@dataclass(frozen=True)
class ConvertGroup:
    """How a generated face is put into the frame; see :class:`ConvertOptions`."""

    colour: Annotated[
        str, typer.Option("--colour", help="Colour match: linear, reinhard, histogram or none.")
    ] = "linear"
    shape: Annotated[str, typer.Option("--mask", help="Shape of the mask: learned, hull or ellipse.")] = (
        "learned"
    )
    grow: Annotated[
        float, typer.Option(help="Expand (or, below 0, contract) the mask, share of the face.")
    ] = 0.0
    border: Annotated[float, typer.Option(help="Over which share of the face the mask fades.")] = 0.08
    blend: Annotated[str, typer.Option("--blend", help="laplacian, poisson or alpha.")] = "laplacian"
    steady: Annotated[
        str, typer.Option("--steady", help="Smoothing of landmarks: savgol, one-euro, mean or none.")
    ] = "savgol"
    steadiness: Annotated[float, typer.Option(help="How much landmarks are smoothed, 0 to 1.")] = 0.4
    colour_memory: Annotated[
        float, typer.Option(help="How much of a colour match comes from frames before, 0 to 0.99.")
    ] = 0.0


Output = Annotated[Path, typer.Option("-o", "--output", help="The folder for the model and its checkpoint.")]


@grouped
def train(
    faces_a: Annotated[Path, typer.Argument(help="Person a: a folder that `veilmark synth extract` wrote.")],
    faces_b: Annotated[Path, typer.Argument(help="Person b: another such folder.")],
    output: Output,
    choices: TrainGroup,
    prior: Annotated[
        Path | None, typer.Option("--from", help="Begin with a face prior that `veilmark synth prior` made.")
    ] = None,
    previews: Annotated[
        bool, typer.Option(help="Write signed, marked sheets of held-out faces while it learns.")
    ] = True,
) -> None:
    """Train a face swapper for two people, to measure what their faces give away.

    The generator learns alone, then its critic, then both, until held-out faces stop getting better. Ctrl-C stops after
    the present step and leaves a checkpoint: --resume goes on exactly there. The folder gets model.safetensors,
    checkpoint.safetensors, log.csv, TensorBoard's event file, and previews/.
    """
    _run({"a": [faces_a], "b": [faces_b]}, output, choices, prior=prior, previews=previews)


@grouped
def prior(
    faces: Annotated[
        list[Path], typer.Argument(help="Folders that `veilmark synth extract` wrote, of several people.")
    ],
    output: Output,
    choices: TrainGroup,
) -> None:
    """Train on several people at once what faces have in common, so that new pairs start from there (train --from)."""
    _run({"a": faces}, output, choices, prior=None, previews=False)


@grouped
def swap(
    footage: Annotated[Path, typer.Argument(help="A video or a picture.")],
    model: Annotated[Path, typer.Option("--model", help="A folder that `veilmark synth train` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    to: Annotated[str, typer.Option("--to", help="Whose face it becomes: a or b.")] = "b",
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A picture of whose face is replaced. Default: the largest, then the one nearest to where it was."
        ),
    ] = None,
    *,
    consent: ConsentGroup,
    choices: ConvertGroup,
    common: GenerateGroup,
) -> None:
    """Replace a face. The result is signed as synthetic media, names its footage, and is recorded.

    Exit codes: 0 done; 6 no face; 8 the footage's owner forbids it, or nobody said that it is allowed.
    """
    from provenance.commands.support.secrets import passphrase_for
    from synth.swap.conversion.convert import ConvertOptions
    from synth.swap.make import SwapRequest, make_swap

    home = Home.locate()
    request = SwapRequest(
        model,
        ConvertOptions(to, **asdict(choices)),
        reference=reference,
        consent=consent.statements,
        declared=consent.i_have_consent,
        online=common.online,
        visible_mark=common.visible_mark,
        weights=common.weights,
        device=usable_device(common.device),
    )
    with session_for(home, common.identity) as session, fraction("Swapping") as report:
        result = make_swap(
            footage,
            output,
            request,
            session,
            force=common.force,
            passphrase=lambda name: passphrase_for(home, name),
            progress=report,
        )
    for line in result.notes:
        note(f"note: {line}")
    if common.as_json:
        print_json(result.to_json())
        return
    done = result.report
    say(f"{output}: {done.swapped} of {done.frames} frames swapped, signed as synthetic")
    if done.flicker:
        shown = f"{done.flicker.made:.2f} levels; the footage itself {done.flicker.filmed:.2f}"
        say(f"  flicker        {shown}")
    say(f"  ledger entry   {result.signed.index}")


def _run(
    folders: dict[str, list[Path]],
    output: Path,
    choices: TrainGroup,
    *,
    prior: Path | None,
    previews: bool,
) -> None:
    """Load faces, check consent once more, train, say what came of it."""
    from synth.consent.permission import carried_permission
    from synth.extraction import FaceSet
    from synth.swap.training.data import Bank
    from synth.swap.training.parallel import is_first, join
    from synth.swap.training.train import train as train_model

    chosen = _preset(choices.preset, choices.steps, choices.features)
    deadline = _deadline(choices.until_time)
    where, home = join(usable_device(choices.device)), Home.locate()
    size = chosen.architecture.size
    sets = {side: [FaceSet.load(one, size=size) for one in paths] for side, paths in folders.items()}
    origin = _origin(sets, chosen, choices.seed, prior)
    sentences = [carried_permission(one, home) for one in origin.consent.values()]
    banks = {
        side: Bank.joined([Bank.of(one, size, where) for one in members]) for side, members in sets.items()
    }
    if where == "cpu" and not choices.resume:
        _foretell(chosen, origin.sides)
    with interruptible() as interrupted, fraction("Training") as report:
        label = (
            _labeller(output, origin, sets, home, choices.identity, sentences)
            if previews and is_first()
            else None
        )
        done = train_model(
            banks,
            origin,
            output,
            device=where,
            resume=choices.resume,
            prior=prior,
            compiled=choices.compiled,
            stop=lambda: interrupted() or (deadline is not None and datetime.now() >= deadline),
            progress=report,
            preview=label,
        )
        was_interrupted = interrupted()
    if is_first():
        _say(done, output, choices.as_json)
    if was_interrupted:
        note("stopped; the same command with --resume goes on exactly here")
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def _foretell(chosen: Preset, sides: tuple[str, ...]) -> None:
    """Say what training on a CPU will take, where that is long enough to think twice."""
    from synth.swap.training.forecast import in_words, seconds_of

    seconds = seconds_of(chosen, sides, "cpu")
    if seconds > _LONG:
        note(
            f"about {in_words(seconds)} on this processor ({chosen.recipe.steps} steps of "
            f"{seconds / chosen.recipe.steps:.1f} s); stopped, it goes on with --resume"
        )


def _say(done: TrainingResult, output: Path, as_json: bool) -> None:
    if as_json:
        figures = {name: round(value, 5) for name, value in done.measures.items()}
        about = {"folder": str(output), "finished": done.finished, "steps": done.steps}
        print_json({"schema": "veilmark.trained/1", **about, "held_out": figures})
        return
    state = "trained" if done.finished else "stopped, ready to resume"
    say(f"{output}: {state} after {done.steps} steps")
    for name, value in done.measures.items():
        say(f"  {name:<14} {value:.4f}")


def _preset(name: str, steps: int | None, features: str | None) -> Preset:
    """The preset; a feature network that is only its default and not installed is replaced, with a note."""
    from synth.swap.config import preset
    from synth.swap.features import NAMES, available

    chosen = preset(name).with_steps(steps)
    if features is not None:
        if features not in NAMES:
            raise UsageError(
                f"no feature network is called {features[:40]!r}", hint="one of " + ", ".join(NAMES)
            )
        if features not in available():
            raise MissingModelError(f"the weights of {features} are not installed")
        return replace(chosen, features=features)
    if chosen.features in available():
        return chosen
    other = available()[0]
    note(f"note: the weights of {chosen.features} are not installed; the feature loss uses {other}")
    return replace(chosen, features=other)


def _origin(sets: dict[str, list[FaceSet]], chosen: Preset, seed: int, prior: Path | None) -> Origin:
    """Consent and footage of everybody in the sets, and of everybody whom the prior has seen."""
    import torch

    from provenance.version import VERSION
    from synth.swap.training.checkpoint import Origin, load_model

    consent: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    for side, members in sets.items():
        for place, one in enumerate(members):
            name = side if len(members) == 1 else f"{side}.{place}"
            consent[name] = one.consent
            sources[name] = [
                f"{source['path']} sha256:{source['sha256']}" for source in one.alignments.sources
            ]
    if prior is not None:
        seen = load_model(prior)[1]
        consent |= {f"prior.{name}": one for name, one in seen.consent.items()}
        sources |= {f"prior.{name}": one for name, one in seen.sources.items()}
    notes = {"veilmark": VERSION, "torch": torch.__version__}
    return Origin(chosen, tuple(sets), consent, sources, seed, notes)


def _labeller(
    output: Path,
    origin: Origin,
    sets: dict[str, list[FaceSet]],
    home: Home,
    identity: str | None,
    sentences: Sequence[str],
) -> Callable[[int, NDArray[np.uint8]], None]:
    """Writes preview sheets: marked, signed as synthetic, with some of the faces as ingredients."""
    from synth.label import Generated, label_picture

    inputs = [
        one.folder / face.file for members in sets.values() for one in members
        for _, face in one.members[-_SHOWN_FACES:]
    ]  # fmt: skip
    about = Generated("veilmark synth train", inputs, False, clean("; ".join(sentences), 4000), origin.seed)
    folder = output / "previews"

    def label(step: int, sheet: NDArray[np.uint8]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with session_for(home, identity) as session:
            label_picture(sheet, folder / f"step{step:07d}.png", about, session, force=True)

    return label


def _deadline(text: str | None) -> datetime | None:
    """When to stop: the next HH:MM on this machine's clock, or that many minutes or hours from now."""
    if text is None:
        return None
    now = datetime.now()
    try:
        if text[-1:] in "mh":
            amount = float(text[:-1])
            return now + timedelta(minutes=amount * (60 if text.endswith("h") else 1))
        hour, minute = (int(part) for part in text.split(":"))
        moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return moment if moment > now else moment + timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} is no time", hint="give HH:MM, or a duration such as 90m or 3h"
        ) from None
