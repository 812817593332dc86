"""``veilmark schema``: what the objects look like that ``--json`` prints."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.commands.support.console import say


def schema(
    name: Annotated[
        str | None, typer.Argument(help="Which one, such as verdict. Default: list them.")
    ] = None,
) -> None:
    """Print the JSON Schema of an object that --json prints, or list the schemas."""
    from provenance.schemas import schema_names, schema_text

    if name is None:
        for one in schema_names():
            say(one)
    else:
        typer.echo(schema_text(name), nl=False)
