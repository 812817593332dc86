"""The ``identity`` group."""

from __future__ import annotations

import typer

app = typer.Typer(help="Keys and certificates: who signs.", no_args_is_help=True)
