"""``veilmark synth lipsync`` and ``mouth``: a person in a video says a sound. What it makes leaves labelled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.device import usable_device
from provenance.commands.console import clean, note, print_json, progress, stdout
from provenance.commands.work import desk_for
from provenance.errors import ExitCode, NotWritableError, OutputExistsError, UsageError
from provenance.home import Home
from synth.commands.extract import Consents, Declared, Weights, permission
from synth.commands.options import Device, Force, IdentityName, Json, Online, Seed, VisibleMark
from synth.interrupt import interruptible

if TYPE_CHECKING:
    from provenance.session import Desk
    from synth.label import Generated
    from synth.lipsync.mouth.model import MouthModel, MouthOptions
    from synth.lipsync.pipeline import LipsyncReport

Epochs = Annotated[int | None, typer.Option(min=1, help="Passes of the mouth's training. Default: 100.")]
Delay = Annotated[
    int | None, typer.Option(help="Steps of 10 ms by which the mouth waits for the sound. Default: 20.")
]
Units = Annotated[int | None, typer.Option(help="Units of the mouth's LSTM. Default: 60.")]
Layers = Annotated[int | None, typer.Option(help="Layers of the mouth's LSTM. Default: 1.")]
Bidirectional = Annotated[
    bool | None, typer.Option("--bidirectional/--unidirectional", help="Read the sound backwards as well.")
]
Work = Annotated[
    Path | None,
    typer.Option("--work", help="Where landmarks and mouth models are kept. Default: the state folder."),
]


def lipsync(
    target: Annotated[Path, typer.Option("--target", help="A video of one person who speaks.")],
    sound: Annotated[
        Path, typer.Option("--audio", help="What they shall say: a sound, or a video with sound.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The video to write: .mp4, .m4v, .mov or .mkv.")
    ],
    consent: Consents = None,
    i_have_consent: Declared = False,
    mouth: Annotated[
        Path | None,
        typer.Option(
            "--mouth", help="Begin with what `veilmark synth mouth` made. Default: the package's own."
        ),
    ] = None,
    epochs: Epochs = None,
    delay: Delay = None,
    units: Units = None,
    layers: Layers = None,
    bidirectional: Bidirectional = None,
    seed: Seed = 0,
    hush: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How far the mouth rests in the sound's pauses, whatever the eyes do; 1 for a dub by another voice.",
        ),
    ] = 0.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Write what each stage found into this folder: sound, mouth, timing, texture, target, layers. "
            "Makes all frames anew.",
        ),
    ] = None,
    work: Work = None,
    visible_mark: VisibleMark = True,
    weights: Weights = None,
    device: Device = "cpu",
    online: Online = False,
    identity: IdentityName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let the person in a video say a sound: to measure what footage gives away, or to dub with consent.

    How mouths follow sound is known from the start; how this one does is learned from the target's own sound, and kept;
    so is everything else a second run needs. With --epochs, --delay, --units, --layers or --bidirectional, and without
    --mouth, a new network is trained from the target alone. Interrupted, it goes on where it stopped when run again.
    The result is signed as synthetic media, names its target and its sound, and is recorded. Exit codes: 0 done; 6 no
    face; 8 an owner forbids it, or nobody said that it is allowed.
    """
    from cloak.video.write import container_for
    from provenance.media.files import refuse_existing, require_writable
    from synth.label import Generated
    from synth.lipsync.mouth.adapt import PRIOR
    from synth.lipsync.mouth.model import load_mouth
    from synth.lipsync.pipeline import LipsyncOptions
    from synth.lipsync.pipeline import lipsync as make
    from synth.lipsync.texture.texture import TextureOptions
    from synth.lipsync.workspace import Workspace

    # 1. Everything that can be wrong, before any work.
    refuse_existing(output, force)
    container_for(output)
    taught = _options(epochs, delay, units, layers, bidirectional, seed)
    own = any(one is not None for one in (epochs, delay, units, layers, bidirectional))
    prior = mouth or (None if own else PRIOR)
    where = usable_device(device)
    options = LipsyncOptions(
        mouth=taught,
        texture=TextureOptions(device=where),
        prior=prior,
        hush=hush,
        mark=visible_mark,
        device=where,
        weights_dir=weights,
    )
    options.check()
    home = Home.locate()
    start = load_mouth(mouth) if mouth else None

    # 2. Consent: for the target, for the voice, and again for everybody whom the mouth model learned from.
    basis = permission([target, sound], consent, i_have_consent, online=online)
    statement = _statement(basis.sentence, start, home)
    about = Generated("veilmark synth lipsync", [target, sound], True, statement, seed)

    # 3. Make it in a hidden folder, and leave through the only door.
    require_writable(output)
    if keep:
        _require_free(keep, force)
    workspace = Workspace(work or home.data / "lipsync")
    warned: list[str] = []

    def warn(line: str) -> None:
        warned.append(line)
        note(f"note: {line}")

    with ExitStack() as stack:
        desk = stack.enter_context(desk_for(home, identity))
        hidden = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=output.parent, prefix=".veilmark-"))
        )
        stop = stack.enter_context(interruptible())
        report = stack.enter_context(_stages())
        keeper = _keeper(keep, hidden, about, desk) if keep else None
        made = hidden / f"unlabelled{output.suffix.lower()}"
        done = make(
            target,
            sound,
            made,
            options,
            workspace,
            progress=report,
            stop=stop,
            keeper=keeper,
            warn=warn,
        )
        if done is None:
            note("stopped; the same command goes on from here")
            raise typer.Exit(int(ExitCode.INTERRUPTED))
        if keeper:
            keeper.close()
        entry = _labelled(made, output, about, desk, force)
    _say(done, warned, output, entry, visible_mark, as_json)


def mouth(
    footage: Annotated[list[Path], typer.Argument(help="Videos in which one person each speaks.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model to write (.safetensors).")],
    consent: Consents = None,
    i_have_consent: Declared = False,
    epochs: Epochs = None,
    delay: Delay = None,
    units: Units = None,
    layers: Layers = None,
    bidirectional: Bidirectional = None,
    seed: Seed = 0,
    work: Work = None,
    weights: Weights = None,
    device: Device = "cpu",
    online: Online = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Learn from several speakers how mouths follow sound, so that a short target starts from there (--mouth).

    The model holds no picture. Exit codes: 0 done; 6 no face; 8 an owner forbids it, or nobody said that it is allowed.
    """
    from provenance.media.files import refuse_existing, require_writable
    from synth.lipsync.mouth.model import save_mouth
    from synth.lipsync.mouth.train import train_mouth
    from synth.lipsync.person import study
    from synth.lipsync.workspace import Workspace

    refuse_existing(output, force)
    taught, where = _options(epochs, delay, units, layers, bidirectional, seed), usable_device(device)
    basis = permission(footage, consent, i_have_consent, online=online)
    require_writable(output)
    workspace = Workspace(work or Home.locate().data / "lipsync")
    clips = []
    with interruptible() as stop, _stages() as report:
        for place, path in enumerate(footage):
            person = study(path, workspace, device=where, weights_dir=weights)
            clip = person.clip()
            if clip is None:
                raise UsageError(f"{path} has no sound", hint="name videos in which people speak")
            clips.append(clip)
            report("face", (place + 1) / len(footage))
        run = workspace.folder / f"{output.name}-run.safetensors"
        model = train_mouth(
            clips,
            taught,
            checkpoint=run,
            stop=stop,
            progress=lambda share: report("mouth", share),
            device=where,
        )
        if not model.notes["finished"]:
            note("stopped; the same command goes on from here")
            raise typer.Exit(int(ExitCode.INTERRUPTED))
    model.notes["consent"] = basis.to_json()
    save_mouth(output, model)
    run.unlink(missing_ok=True)
    told = {name: model.notes[name] for name in ("epochs", "best_epoch", "held_out_error")}
    if as_json:
        print_json({"schema": "veilmark.mouth/1", "output": str(output), "clips": len(clips), **told})
        return
    stdout().print(f"{output}: learned from {len(clips)} videos in {told['epochs']} epochs", markup=False)


def _options(
    epochs: int | None,
    delay: int | None,
    units: int | None,
    layers: int | None,
    bidirectional: bool | None,
    seed: int,
) -> MouthOptions:
    from synth.lipsync.mouth.model import MouthOptions

    given: dict[str, Any] = {
        "epochs": epochs,
        "delay": delay,
        "units": units,
        "layers": layers,
        "bidirectional": bidirectional,
    }
    options = replace(
        MouthOptions(seed=seed), **{name: one for name, one in given.items() if one is not None}
    )
    options.check()
    return options


def _statement(sentence: str, start: MouthModel | None, home: Home) -> str:
    """What the label says about consent; that of the people behind a mouth model is checked again."""
    from synth.consent.permission import carried_permission

    if start is None:
        return f"Target and sound: {sentence}"
    carried = start.notes.get("consent")
    behind = carried_permission(carried if isinstance(carried, dict) else {}, home)
    return clean(f"Target and sound: {sentence}. Mouth model: {behind}", 4000)


@contextmanager
def _stages() -> Iterator[Callable[[str, float], None]]:
    """A progress bar that names the stage."""
    with progress("lip-sync", 100) as advance:
        shown: dict[str, int] = {}

        def report(stage: str, share: float) -> None:
            if stage not in shown:
                advance(-sum(shown.values()), stage)
                shown.clear()
                shown[stage] = 0
            percent = round(share * 100)
            advance(percent - shown[stage], stage)
            shown[stage] = percent

        yield report


def _require_free(folder: Path, force: bool) -> None:
    """Raise where what stages find would replace somebody's file, or cannot be written there."""
    from synth.lipsync.keep import NAMES

    if folder.exists() and not folder.is_dir():
        raise NotWritableError(f"{folder} is no folder", hint="give --keep another name")
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not force:
        raise OutputExistsError(
            f"{folder / there[0]} exists", hint="add --force, or give --keep another name"
        )


def _keeper(folder: Path, hidden: Path, about: Generated, desk: Desk) -> Any:
    """Writes what stages found; films leave through the door as well."""
    from synth.lipsync.keep import Keeper

    return Keeper(folder, hidden, lambda made, place: _ignored(_labelled(made, place, about, desk, True)))


def _ignored(_: int) -> None:
    return None


def _labelled(made: Path, output: Path, about: Generated, desk: Desk, force: bool) -> int:
    from synth.label import label_generated

    return int(label_generated(made, output, about, desk, force=force).index or 0)


def _say(done: LipsyncReport, said: list[str], output: Path, entry: int, marked: bool, as_json: bool) -> None:
    if as_json:
        figures = {"output": str(output), "marked": marked, "entry": entry}
        print_json({"schema": "veilmark.lipsynced/1", **done.to_json(), **figures})
        return
    for line in done.notes:
        if line not in said:
            note(f"note: {line}")
    console = stdout()
    console.print(
        f"{output}: {done.composited} of {done.frames} frames, {done.seconds:.1f} s, signed as synthetic",
        markup=False,
    )
    spent = ", ".join(f"{name} {seconds:.0f}" for name, seconds in done.stages.items())
    console.print(f"  computing      {spent} s", markup=False)
    console.print(f"  ledger entry   {entry}", markup=False)
