"""``veilmark synth extract``, ``sort``, ``pairs``, ``alignments``; and ``veilmark consent``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import clean, fraction, note, print_json, say
from provenance.commands.support.grouped import grouped
from provenance.errors import UsageError
from provenance.home import Home
from synth.commands.options import ConsentGroup, Device, IdentityName, Json, Online, WeightsFolder

if TYPE_CHECKING:
    from synth.extraction.embedding import Embedder

synth_app = typer.Typer(
    help="The measuring instrument: faces from footage, a swap and a lip-sync generator; all they make is labelled.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="A folder that `veilmark synth extract` wrote.")]


@synth_app.command("extract")
@grouped
def extract(
    footage: Annotated[Path, typer.Argument(help="A video, a picture, or a folder of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write faces into.")],
    consent: ConsentGroup,
    size: Annotated[int, typer.Option(help="Side of the aligned faces, 64 to 512 pixels.")] = 256,
    every: Annotated[int, typer.Option(min=1, help="Look at every n-th frame.")] = 1,
    detectors: Annotated[
        str | None, typer.Option(help="Detectors, comma-separated; all are asked about each frame.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            help="A face that no detector finds, [FRAME:]X1,Y1,X2,Y2 in pixels; a video's is followed. Repeatable.",
        ),
    ] = None,
    align_by: Annotated[
        str, typer.Option(help="facemesh, or dlib68 (dlib's landmarks: research only, nothing commercial).")
    ] = "facemesh",
    reference: Annotated[
        Path | None, typer.Option(help="A picture of the wanted person. Default: whom most faces show.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option("--threshold", help="A rule's limit, NAME=NUMBER, such as yaw=30. Repeatable."),
    ] = None,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    online: Online = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the faces of other footage or settings.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Extract aligned faces for training; every frame's outcome goes into alignments.json.

    Interrupted, it goes on where it stopped when run again; finished, it applies new thresholds and edited outcomes
    without looking at the frames again. Exit codes: 0 faces were kept; 6 none was; 8 the footage's owner forbids it,
    or nobody said that it is allowed.
    """
    from synth.extraction.finder import DEFAULT_DETECTORS
    from synth.extraction.footage import open_footage
    from synth.extraction.options import ExtractOptions
    from synth.extraction.rules import Thresholds
    from synth.extraction.run import extract_faces
    from synth.extraction.tracking import HandBox

    options = ExtractOptions(
        size=size,
        every=every,
        detectors=tuple(one.strip() for one in detectors.split(",")) if detectors else DEFAULT_DETECTORS,
        boxes=tuple(HandBox.parse(one) for one in box or []),
        align_by=align_by,
        thresholds=Thresholds.parse(threshold or []),
        reference=reference,
        device=device,
        weights_dir=weights,
    )
    options.check()
    paths = [source.path for source in open_footage(footage)]
    basis = consent.permission(paths, online=online)
    with fraction("Extracting") as report:
        done = extract_faces(
            footage,
            output,
            basis.to_json(),
            options,
            embedder=_embedder(device, weights),
            force=force,
            progress=report,
        )
    if as_json:
        print_json(done.to_json())
    else:
        summary = done.to_json()
        faces = "1 face" if summary["kept"] == 1 else f"{summary['kept']} faces"
        say(f"kept {faces} of {summary['frames']} frames in {output}")
        for outcome, number in summary["counts"].items():
            if outcome != "keep":
                say(f"  {outcome:<14} {number}")
        if done.resumed:
            say(f"  {done.resumed} frames had been done before")
        say(f"  consent: {clean(basis.sentence, 400)}")
    for line in done.notes:
        note(f"note: {line}")


@synth_app.command("sort")
def sort(
    folder: Folder,
    by: Annotated[
        str, typer.Option(help="time, yaw, pitch, roll, blur, size, similarity or person.")
    ] = "similarity",
    every_face: Annotated[bool, typer.Option("--all", help="Refused faces too.")] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a contact sheet in this order (.png or .jpg).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a sheet that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """List a set's faces in an order, to look through them and to edit alignments.json."""
    from provenance.media.files import refuse_existing
    from synth.extraction.alignments import Alignments
    from synth.extraction.sheet import write_ordered
    from synth.extraction.sorting import ordered

    if sheet:
        refuse_existing(sheet, force)
    loaded = Alignments.load(folder)
    rows = ordered(loaded, by, kept=not every_face)
    for _, face, value in rows:
        if as_json:
            print_json(
                {
                    "schema": "veilmark.sorted/1",
                    "file": face.file,
                    "fate": face.outcome,
                    "by": by,
                    "value": value,
                }
            )
        else:
            say(f"{value:10.3f}  {face.outcome:<14} {face.file}")
    if sheet:
        write_ordered(folder, rows, sheet)
        note(f"contact sheet: {sheet}")


@synth_app.command("pairs")
def pairs(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `veilmark synth extract` wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Rank pairs of people by the likeness of their faces' shape: the likest swap best."""
    from synth.extraction.sorting import rank_pairs

    ranks = rank_pairs(folders)
    if not as_json:
        note("the pair with the lowest score is the most alike, and comes first")
    for rank in ranks:
        if as_json:
            about = {"first": str(rank.first), "second": str(rank.second), "score": rank.score}
            print_json({"schema": "veilmark.pair/1", **about, "shape": rank.shape, "poses": rank.poses})
        else:
            shown = f"{rank.score:.3f}  shape {rank.shape:.3f}  poses {rank.poses:.2f}"
            say(f"{shown}  {rank.first}  {rank.second}")


@synth_app.command("alignments")
def alignments(
    folder: Folder,
    export: Annotated[
        Path | None, typer.Option("--export", help="Copy its alignments.json to this file.")
    ] = None,
    take: Annotated[
        Path | None,
        typer.Option("--import", help="Take the outcomes that this file gives; then extract again."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
) -> None:
    """Export every frame's outcome, or import one that was edited by hand."""
    from provenance.media.files import write_bytes
    from synth.extraction.alignments import Alignments
    from synth.extraction.decisions import import_decisions

    if (export is None) == (take is None):
        raise UsageError("give --export FILE or --import FILE, one of the two")
    if export is not None:
        write_bytes(export, Alignments.load(folder).to_bytes(), force=force)
        say(f"exported {export}")
    elif take is not None:
        changed = import_decisions(take, folder)
        say(f"{changed} outcomes changed; run `veilmark synth extract` again to apply them")


def consent(
    files: Annotated[list[Path], typer.Argument(help="The footage that may be used, as you published it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the statement (JSON).")],
    to: Annotated[str, typer.Option("--to", help="Who may use it: a name.")],
    purpose: Annotated[str, typer.Option("--purpose", help="For what.")],
    until: Annotated[
        str | None, typer.Option("--until", help="The last day on which it holds, YYYY-MM-DD.")
    ] = None,
    to_key: Annotated[
        str | None, typer.Option("--to-key", help="The only key (its id) that may use it.")
    ] = None,
    identity: IdentityName = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a statement that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Sign a statement that footage of yours may be used for training, by whom, for what, and how long."""
    from provenance.commands.support.secrets import passphrase_for
    from provenance.identity.identity import load_identity
    from provenance.media.files import refuse_existing, write_bytes
    from synth.consent.statement import make_statement, parse_statement

    refuse_existing(output, force)
    home = Home.locate()
    signer = load_identity(home, identity, passphrase_for(home, identity))
    data = make_statement(files, signer, to=to, purpose=purpose, until=until, to_key=to_key)
    statement = parse_statement(data)
    write_bytes(output, data, force=force)
    if as_json:
        about = {"path": str(output), "key_id": statement.key_id, "files": len(files), "until": until}
        print_json({"schema": "veilmark.consented/1", **about, "statement": statement.sentence})
        return
    say(f"wrote {output}: {clean(statement.sentence, 400)}")
    note(
        "Give it to them with the footage; it counts where the footage, or its ledger record, is signed by this key."
    )


def _embedder(device: str, weights: Path | None) -> Embedder | None:
    """What tells people apart, or None with a note where its weights are missing."""
    from provenance.errors import MissingModelError
    from synth.extraction.embedding import DlibEmbedder

    try:
        return DlibEmbedder(device, weights)
    except MissingModelError as error:
        note(f"note: faces of other people are not recognised: {error}; {error.hint}")
        return None
