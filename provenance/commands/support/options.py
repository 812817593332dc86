"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[list[Path], typer.Argument(help="Files, folders, or - for standard input.")]
Rpc = Annotated[
    list[str] | None, typer.Option("--rpc", help="JSON-RPC address of a node. Repeat to compare several.")
]
