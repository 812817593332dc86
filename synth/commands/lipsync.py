"""``veilmark synth lipsync`` and ``mouth``: a person in a video says a sound. What it makes leaves labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.device import usable_device
from provenance.commands.support.console import note, print_json, progress, say
from provenance.commands.support.grouped import grouped
from provenance.commands.support.work import session_for
from provenance.errors import ExitCode, UsageError
from provenance.home import Home
from provenance.interrupt import interruptible
from synth.commands.options import (
    ConsentGroup,
    Device,
    Force,
    GenerateGroup,
    Json,
    Online,
    Seed,
    WeightsFolder,
)

if TYPE_CHECKING:
    from synth.lipsync.make import LipsyncResult
    from synth.lipsync.mouth.model import MouthOptions


@dataclass(frozen=True)
class MouthGroup:
    """How a mouth's network is built and trained; None is the default of :class:`MouthOptions`."""

    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes of the mouth's training. Default: 100.")
    ] = None
    delay: Annotated[
        int | None, typer.Option(help="Steps of 10 ms by which the mouth waits for the sound. Default: 20.")
    ] = None
    units: Annotated[int | None, typer.Option(help="Units of the mouth's LSTM. Default: 60.")] = None
    layers: Annotated[int | None, typer.Option(help="Layers of the mouth's LSTM. Default: 1.")] = None
    bidirectional: Annotated[
        bool | None,
        typer.Option("--bidirectional/--unidirectional", help="Read the sound backwards as well."),
    ] = None
    seed: Seed = 0

    @property
    def network(self) -> dict[str, Any]:
        """What was asked of the network; the seed is not of it."""
        return {name: one for name, one in asdict(self).items() if one is not None and name != "seed"}

    def options(self) -> MouthOptions:
        from synth.lipsync.mouth.model import MouthOptions

        options = MouthOptions(seed=self.seed, **self.network)
        options.check()
        return options


Work = Annotated[
    Path | None,
    typer.Option("--work", help="Where landmarks and mouth models are kept. Default: the state folder."),
]


@grouped
def lipsync(
    target: Annotated[Path, typer.Option("--target", help="A video of one person who speaks.")],
    sound: Annotated[
        Path, typer.Option("--audio", help="What they shall say: a sound, or a video with sound.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The video to write: .mp4, .m4v, .mov or .mkv.")
    ],
    *,
    consent: ConsentGroup,
    mouth: Annotated[
        Path | None,
        typer.Option(
            "--mouth", help="Begin with what `veilmark synth mouth` made. Default: the package's own."
        ),
    ] = None,
    choices: MouthGroup,
    pause_damping: Annotated[
        float,
        typer.Option(
            "--pause-damping",
            min=0,
            max=1,
            help="How far the mouth rests in the sound's pauses, whatever the eyes do; 1 for a dub by another voice.",
        ),
    ] = 0.0,
    hush: Annotated[float | None, typer.Option("--hush", min=0, max=1, hidden=True)] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Write what each stage found into this folder: sound, mouth, timing, texture, target, layers. "
            "Makes all frames anew.",
        ),
    ] = None,
    work: Work = None,
    common: GenerateGroup,
) -> None:
    """Let the person in a video say a sound: to measure what footage gives away, or to dub with consent.

    How mouths follow sound is known from the start; how this one does is learned from the target's own sound, and kept;
    so is everything else a second run needs. With --epochs, --delay, --units, --layers or --bidirectional, and without
    --mouth, a new network is trained from the target alone. Interrupted, it goes on where it stopped when run again.
    The result is signed as synthetic media, names its target and its sound, and is recorded. Exit codes: 0 done; 6 no
    face; 8 an owner forbids it, or nobody said that it is allowed.
    """
    from provenance.commands.support.secrets import passphrase_for
    from synth.lipsync.make import LipsyncRequest, make_lipsync
    from synth.lipsync.mouth.adapt import PRIOR
    from synth.lipsync.pipeline import LipsyncOptions
    from synth.lipsync.texture.texture import TextureOptions

    where, home = usable_device(common.device), Home.locate()
    request = LipsyncRequest(
        LipsyncOptions(
            mouth=choices.options(),
            texture=TextureOptions(device=where),
            prior=mouth or (None if choices.network else PRIOR),
            pause_damping=pause_damping if hush is None else hush,
            mark=common.visible_mark,
            device=where,
            weights_dir=common.weights,
        ),
        consent=consent.statements,
        declared=consent.i_have_consent,
        online=common.online,
        keep=keep,
        work=work,
    )
    warned: list[str] = []

    def warn(line: str) -> None:
        warned.append(line)
        note(f"note: {line}")

    with session_for(home, common.identity) as session, interruptible() as stop, _stages() as report:
        done = make_lipsync(
            target,
            sound,
            output,
            request,
            session,
            force=common.force,
            passphrase=lambda name: passphrase_for(home, name),
            progress=report,
            stop=stop,
            warn=warn,
        )
    if done is None:
        note("stopped; the same command goes on from here")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _say(done, warned, common.as_json)


@grouped
def mouth(
    footage: Annotated[list[Path], typer.Argument(help="Videos in which one person each speaks.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model to write (.safetensors).")],
    consent: ConsentGroup,
    choices: MouthGroup,
    work: Work = None,
    weights: WeightsFolder = None,
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
    from synth.lipsync.person import study_target
    from synth.lipsync.workspace import Workspace

    refuse_existing(output, force)
    taught, where = choices.options(), usable_device(device)
    basis = consent.permission(footage, online=online)
    require_writable(output)
    workspace = Workspace(work or Home.locate().data / "lipsync")
    clips = []
    with interruptible() as stop, _stages() as report:
        for place, path in enumerate(footage):
            person = study_target(path, workspace, device=where, weights_dir=weights)
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
    say(f"{output}: learned from {len(clips)} videos in {told['epochs']} epochs")


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


def _say(done: LipsyncResult, said: list[str], as_json: bool) -> None:
    if as_json:
        print_json(done.to_json())
        return
    report = done.report
    for line in report.notes:
        if line not in said:
            note(f"note: {line}")
    say(
        f"{done.output}: {report.composited} of {report.frames} frames, {report.seconds:.1f} s, signed as synthetic"
    )
    spent = ", ".join(f"{name} {seconds:.0f}" for name, seconds in report.stages.items())
    say(f"  computing      {spent} s")
    say(f"  ledger entry   {done.signed.index}")
