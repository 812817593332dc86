"""``veilmark cloak`` and ``veilmark models``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloak.strength import Strength
from provenance.commands.batch import Outcome, run_batch
from provenance.commands.console import fraction, note, print_json, progress
from provenance.commands.paths import Input, gathered, plan_outputs
from provenance.commands.sign import Paths
from provenance.commands.work import desk_for
from provenance.errors import (
    ExitCode,
    MediaError,
    MissingPathError,
    NoFaceError,
    PartialSuccessError,
    UsageError,
)
from provenance.home import Home

if TYPE_CHECKING:
    from cloak.picture.pipeline import WorkEstimate
    from cloak.publish import PublishResult
    from provenance.session import Desk

#: More parts of a picture than this take so long that a word is said beforehand.
_FEW_PARTS = 4
#: So is it for what may take more seconds than this.
_LONG = 180.0


def cloak(
    paths: Paths,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="A file for one input, else a folder. Default: NAME.cloaked.EXT."
        ),
    ] = None,
    strength: Annotated[
        Strength, typer.Option(help="At most 8, 12 or 16 levels of 255 per pixel.")
    ] = Strength.MID,
    attack: Annotated[
        str, typer.Option(help="ensemble (ours), or torchattacks:NAME, such as torchattacks:PGD.")
    ] = "ensemble",
    detectors: Annotated[
        str | None,
        typer.Option(help="Detectors to hide from, comma-separated. Default: all that are present."),
    ] = None,
    judges: Annotated[
        str | None,
        typer.Option(
            help="Detectors that only judge, comma-separated, or none. Default: all that are present."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A folder with further detectors' weights.")
    ] = None,
    decoys: Annotated[int, typer.Option(min=0, max=12, help="Faces to raise where there are none.")] = 0,
    displace_landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Also displace the landmarks of faces that are still found.")
    ] = False,
    landmark_share: Annotated[
        float, typer.Option(min=0.02, max=1.0, help="How far --landmarks moves them, in face sizes.")
    ] = 0.15,
    recognition: Annotated[
        bool,
        typer.Option("--recognition", help="Also make face recognition take each face for somebody else."),
    ] = False,
    faces: Annotated[
        str | None,
        typer.Option(help="Which faces, counted from 0 by falling size, comma-separated. Default: all."),
    ] = None,
    list_faces: Annotated[
        bool,
        typer.Option("--list-faces", help="Only print each face's number, place, and who sees it."),
    ] = False,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Steps of the search, at most.")] = 60,
    restarts: Annotated[
        int, typer.Option(min=0, max=20, help="Begin anew so often while a face is still seen.")
    ] = 0,
    smooth: Annotated[
        float,
        typer.Option(
            min=0, max=8, help="Noise without detail finer than this Gaussian sigma in pixels. Pictures only."
        ),
    ] = 0.0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Keep the strength's bound after lossy encoding, too. Protects less. Pictures only.",
        ),
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help="JPEG, PNG, WebP, TIFF, AVIF or BMP. Default: as the output is named, or kept."
        ),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP or AVIF. Default: the input's, or 95.")
    ] = None,
    crf: Annotated[
        int, typer.Option(min=0, max=40, help="Of a video's H.264 encoder: 18 is good, 28 small.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Search with bfloat16, for GPUs; on CPUs no faster.")
    ] = False,
    faceless: Annotated[
        bool,
        typer.Option(
            "--faceless", help="Also write pictures without a face: not cloaked, not signed, no GPS."
        ),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Cloak a picture that is already cloaked.")] = False,
    keep_gps: Annotated[bool, typer.Option("--keep-gps", help="Keep the position in the EXIF data.")] = False,
    sign: Annotated[
        bool, typer.Option(help="Sign the result, naming the original as its parent, and record it.")
    ] = True,
    identity: Annotated[str | None, typer.Option(help="Which identity signs.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip inputs whose output is there from an earlier run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Hide faces from face detectors before publishing, and link the result to its signed original.

    The file that was written is decoded again and judged. Exit codes: 0 hidden, as published, from all attacked
    detectors (after recompression or at half size they may find it: the report says); 7 some still find a face (the
    file is written); 6 no face found (nothing is written). Videos become H.264 with their sound
    as it was; an interrupted run goes on where it stopped.
    """
    from contextlib import ExitStack

    from cloak.device import usable_device
    from cloak.options import CloakOptions
    from cloak.publish import PublishRequest, is_video, publish_file
    from cloak.video.options import VideoOptions

    home = Home.locate()
    if sign and not list_faces:
        home.require_initialized()
    if weights is not None and not weights.is_dir():
        raise MissingPathError(f"{weights} is no folder with weights")
    options = CloakOptions(
        strength=strength,
        attack=attack,
        detectors=_names(detectors) if detectors else None,
        judges=None if judges is None else () if judges == "none" else _names(judges),
        weights=weights,
        decoys=decoys,
        displace_landmarks=displace_landmarks,
        landmark_share=landmark_share,
        recognition=recognition,
        faces=_numbers(faces) if faces else None,
        steps=steps,
        restarts=restarts,
        smooth=smooth,
        strict=strict,
        bf16=bf16,
        format=format_,
        quality=quality,
        seed=seed,
        device=usable_device(device),
        keep_gps=keep_gps,
        again=again,
    )
    if list_faces:
        raise typer.Exit(int(_list_faces(paths, options, as_json=as_json)))
    with ExitStack() as stack:
        inputs = stack.enter_context(gathered(paths, skip_named=(".cloaked",)))
        outputs = plan_outputs(
            _named(inputs, options.format), output, "cloaked", force=force, skip_existing=resume
        )
        if options.format is None and output is not None and outputs == [output]:
            from cloak.picture.output_format import choose_format, format_of_suffix

            if output.suffix and not any(is_video(one.path) for one in inputs):
                choose_format(
                    "", output.suffix
                )  # refuses what cannot be written, instead of writing it under this name
            options = replace(options, format=format_of_suffix(output.suffix))
        desk: Desk | None = None
        if sign:
            desk = stack.enter_context(desk_for(home, identity))

        request = PublishRequest(options, VideoOptions(crf=crf), faceless=faceless)

        def work(index: int, item: Input) -> Outcome:
            target = outputs[index]
            if target is None:
                return ExitCode.OK, None
            with fraction(f"Cloaking {item.path.name}") as report:
                done = publish_file(
                    item.path,
                    target,
                    request,
                    desk,
                    home=home,
                    force=force,
                    progress=report,
                    on_estimate=_tell,
                )
            if done.report is None:
                return ExitCode.NO_FACE, done
            return ExitCode.OK if done.success else ExitCode.PARTIAL, done

        def show(item: Input, done: PublishResult | None) -> None:
            _show(item, done, as_json)

        code = run_batch("Cloaking", inputs, work, show, as_json=as_json)
    raise typer.Exit(int(code))


def _named(inputs: Sequence[Input], wanted: str | None) -> list[Input]:
    """The inputs, named as what will be written of them: other formats have other suffixes."""
    from cloak.picture.output_format import choose_format, output_name
    from cloak.publish import video_target

    if wanted is not None:
        choose_format("", wanted)
    taken = {item.path for item in inputs}
    result = []
    for item in inputs:
        try:
            path = video_target(output_name(item.path, wanted))
        except MediaError:
            path = item.path  # why it cannot be read is told when its turn comes
        if path != item.path and path in taken:
            path = item.path.with_name(item.path.name + path.suffix)
        result.append(replace(item, path=path))
    return result


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(
            f"there is an empty name in {text[:60]!r}", hint="separate names by one comma: mtcnn,centerface"
        )
    return names


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text[:60]!r} is no list of numbers", hint="give, say, --faces 0,2") from None


def _list_faces(paths: list[Path], options: Any, *, as_json: bool) -> ExitCode:
    """Print the faces of each picture that ``--faces`` can choose; writes nothing."""
    from cloak.evaluate.detect import list_faces
    from provenance.media.picture import open_picture

    def work(index: int, item: Input) -> Outcome:
        found = list_faces(open_picture(item.path), options)
        if not found:
            raise NoFaceError("the detectors find no face in the picture that they agree on")
        return ExitCode.OK, found

    def show(item: Input, found: Any) -> None:
        for face in found:
            box = [round(side) for side in face.box]
            if as_json:
                print_json(
                    {
                        "schema": "veilmark.face-seen/1",
                        "source": item.shown,
                        "number": face.number,
                        "box": box,
                        "found": list(face.detected_by),
                    }
                )
            else:
                corners = f"{box[0]},{box[1]} to {box[2]},{box[3]}"
                typer.echo(
                    f"{item.shown}: face {face.number} at {corners}, seen by {', '.join(face.detected_by)}"
                )

    with gathered(paths, skip_named=(".cloaked",)) as inputs:
        return run_batch("Looking for faces", inputs, work, show, as_json=as_json)


def _tell(estimate: WorkEstimate) -> None:
    """Say beforehand what will take long."""
    if estimate.patches > _FEW_PARTS or estimate.seconds > _LONG:
        note(f"note: {estimate}; --faces chooses some, --steps and --detectors make it shorter")


def _show(item: Input, done: PublishResult | None, as_json: bool) -> None:
    if done is None:
        if as_json:
            print_json({"schema": "veilmark.cloaked/1", "source": item.shown, "skipped": "exists"})
        else:
            typer.echo(f"skipped {item.shown}: its output exists")
        return
    for line in done.notes:
        note(f"note: {line}")
    target, report, signed = done.output, done.report, done.signed
    if as_json:
        print_json({**done.to_json(), "source": item.shown})
        return
    if report is None:
        typer.echo(f"no face found in {item.shown}; {target} is not cloaked and not signed")
        return
    typer.echo(f"cloaked {target}" + (f"  (ledger entry {signed.index})" if signed else "  (not signed)"))
    for line in report.lines():
        typer.echo(f"  {line}")
    if not report.success:
        hint = "try more --steps" if report.strength == "high" else "try --strength high, or more --steps"
        error = PartialSuccessError("some detectors still find a face", hint=hint)
        note(f"note: {target}: {error}; {error.hint}")


models_app = typer.Typer(help="Detector weights: licence, source, hash, and how to get them.")


@models_app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False
) -> None:
    """List every model: licence, source, size, SHA-256, present or not, and the command that brings it."""
    if ctx.invoked_subcommand:
        return
    from cloak.models import statuses
    from provenance.commands.console import stdout

    for one in statuses():
        model = one.model
        if as_json:
            print_json(
                {"schema": "veilmark.model/1", **asdict(model), "state": one.state, "command": model.command}
            )
            continue
        console = stdout()
        console.print(f"{model.name}  [{one.state}]", markup=False)
        console.print(f"  {model.licence}; {model.source}; {model.size} bytes", markup=False)
        console.print(f"  sha256 {model.sha256}", markup=False)
        if one.state != "present":
            console.print(f"  {model.command}", markup=False)


@models_app.command("get")
def get(
    name: Annotated[
        str, typer.Argument(help="A model's name, or its detector's, as `veilmark models` lists them.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to put it. Default: veilmark's own folder.")
    ] = None,
) -> None:
    """Download a model from its pinned address and check its SHA-256."""
    from cloak.models import get as download
    from cloak.models import named

    for one in named(name):
        with progress(f"Downloading {one.name}", None):
            path = download(one.name, folder)
        typer.echo(f"{one.name}  {path}")
