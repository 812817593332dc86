"""``veilmark store``: manifests and receipts by content id."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from provenance.home import Home

app = typer.Typer(help="Manifests and receipts by content id.", no_args_is_help=True)


@app.command("get")
def get(
    cid: Annotated[str, typer.Argument(help="A content id (CIDv1).")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
) -> None:
    """Print or write one stored object; its bytes are checked against its id."""
    from provenance.atomic import write_bytes
    from provenance.store.local import LocalStore

    data = LocalStore(Home.locate().store).get(cid)
    if output:
        write_bytes(output, data, force=force)
    else:
        sys.stdout.buffer.write(data)
