"""``veilmark measure``: what a cloak is worth, in figures and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.console import clean, fraction, note, print_json, stdout

if TYPE_CHECKING:
    from synth.report import Report

measure_app = typer.Typer(
    help="What a cloak is worth: detectors, a face swapper and a lip-sync trained with and without it.",
    no_args_is_help=True,
)
WORK_FOLDER = ".work"

Output = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="A folder for report.html and report.json; run again, it goes on there."
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", help="A folder with weights to look in first.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")]


@measure_app.command("detectors")
def detectors(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of them: the originals.")],
    output: Output,
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
    weights: Weights = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Ask every installed detector about clean and cloaked pictures, and about plain noise, after what published
    pictures go through.

    Interrupted, it goes on with the next picture when run again. The folder holds the pictures: share it as you would
    them. Exit codes: 0 measured; 6 no face.
    """
    from synth.measure.cache import Cache
    from synth.measure.detectors import DetectorOptions, measure_detectors
    from synth.measure.detectors_report import report_of
    from synth.measure.pairs import Pair, pair_up, pictures_in

    options = DetectorOptions(
        strengths=_names(strength),
        attacked=_names(against) if against else None,
        steps=steps,
        seed=seed,
        control=control,
        weights=weights,
        device=device,
    )
    originals = pictures_in(paths)
    if cloaked:
        pairs, notes = pair_up(originals, pictures_in(cloaked))
        for line in notes:
            note(f"note: {line}")
    else:
        pairs = [Pair(path) for path in originals]
    cache = Cache(output / WORK_FOLDER)
    with fraction("Measuring") as report:
        measured = measure_detectors(pairs, options, cache, progress=report)
    finish(report_of(measured, options, cache), output, as_json)


def finish(report: Report, output: Path, as_json: bool) -> None:
    """Write the report and say its headline."""
    from synth.report import write_report

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
