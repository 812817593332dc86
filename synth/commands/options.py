"""Options that several commands of synth have, declared once; those of consent and weights are in
synth.commands.extract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an output that exists.")]
IdentityName = Annotated[str | None, typer.Option(help="Which identity signs. Default: the first made.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Online = Annotated[bool, typer.Option("--online", help="Fetch manifests that lie at a URL.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of every random choice.")]
VisibleMark = Annotated[
    bool,
    typer.Option("--visible-mark/--no-visible-mark", help="The word SYNTHETIC; the signed label stays."),
]

# of `veilmark measure`
Attacked = Annotated[
    str | None,
    typer.Option(
        "--detectors",
        help="Detectors the cloak is made against. Default: all that can be attacked, less what `other:` uses.",
    ),
]
NoPictures = Annotated[
    bool,
    typer.Option(
        "--no-pictures", help="Leave pictures out of the report, so that it shows nobody and may be shared."
    ),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Only say what would be done, and how long it takes.")]
ReportFolder = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="A folder for report.html and report.json; run again, it goes on there."
    ),
]
