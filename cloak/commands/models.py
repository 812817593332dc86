"""``veilmark models``: which weights there are, and how to get them."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.support.console import fraction, print_json, progress, say
from provenance.errors import UsageError

models_app = typer.Typer(help="Detector weights: licence, source, hash, and how to get them.")


@models_app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False
) -> None:
    """List every model: licence, source, size, SHA-256, present or not, and the command that brings it."""
    if ctx.invoked_subcommand:
        return
    from cloak.models import statuses

    for one in statuses():
        model = one.model
        if as_json:
            print_json(
                {"schema": "veilmark.model/1", **asdict(model), "state": one.state, "command": model.command}
            )
            continue
        say(f"{model.name}  [{one.state}]")
        say(f"  {model.licence}; {model.source}; {model.size} bytes")
        say(f"  sha256 {model.sha256}")
        if one.state != "present":
            say(f"  {model.command}")


@models_app.command("get")
def get(
    name: Annotated[
        str | None,
        typer.Argument(help="A model's name, or its detector's, as `veilmark models` lists them."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to put it. Default: veilmark's own folder.")
    ] = None,
    recommended: Annotated[
        bool,
        typer.Option("--recommended", help="Everything that may be downloaded and is missing."),
    ] = False,
) -> None:
    """Download a model from its pinned address and check its SHA-256.

    Models that come inside a Python package are not downloaded: the command that installs the package is printed.
    """
    from cloak.models import get as download
    from cloak.models import named

    if recommended == (name is not None):
        raise UsageError("name a model, or add --recommended", hint="`veilmark models` lists them")
    if name is None:
        _get_recommended(folder)
        return
    for one in named(name):
        with progress(f"Downloading {one.name}", None):
            path = download(one.name, folder)
        say(f"{one.name}  {path}")


def _get_recommended(folder: Path | None) -> None:
    from cloak.detectors import DETECTORS, available
    from cloak.models import get_recommended

    with fraction("Downloading models") as report:
        done = get_recommended(folder, progress=lambda _, share: report(share))
    for path in done.fetched:
        say(f"downloaded {path}")
    ready = available(folder)
    commands = list(done.commands)
    if find_spec("dlib") is None:
        commands.append("pip install dlib-bin")
    if commands:
        say("others come inside packages:")
    for command in commands:
        say(f"  {command}")
    say(f"{len(ready)} of {len(DETECTORS)} detectors ready")
