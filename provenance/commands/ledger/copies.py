"""``veilmark ledger export|backup|restore|catch-up``: copies of the log, and coming back after a loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.ledger.group import (
    Force,
    app,
    own_ledger,
)
from provenance.commands.support.console import fraction, note, say
from provenance.home import Home

if TYPE_CHECKING:
    pass


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Where the export goes.")],
    features: Annotated[
        bool, typer.Option("--features", help="Include the private look-up features.")
    ] = False,
    force: Force = False,
) -> None:
    """Export all records with their openings. Private: whoever has them can read every record."""
    from provenance.ledger.embedded.backup import export as export_log

    with own_ledger() as ledger, fraction("Exporting") as report:
        done = export_log(ledger, folder, features=features, force=force, progress=report)
    say(f"exported {done.size} records to {done.folder}")


@app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    include_key: Annotated[
        bool, typer.Option("--include-key", help="Copy the log's signing key too; guard that file.")
    ] = False,
    force: Force = False,
) -> None:
    """Copy the ledger into one file while it stays in use."""
    from provenance.ledger.embedded.backup import backup as back_up

    with own_ledger() as ledger:
        done = back_up(ledger, target, include_key=include_key, force=force)
    say(f"backup of {done.size} records: {done.path} ({done.bytes} bytes)")


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    force: Annotated[bool, typer.Option("--force", help="Restore even an older state.")] = False,
) -> None:
    """Put a backup in place. A log older than what it signed before opens for reading, but signs no fork."""
    from provenance.ledger.embedded.backup import restore as put_back

    done = put_back(source, Home.locate().ledger, force=force)
    say(f"restored {done.size} records to {done.path}")
    if done.fork:
        note(f"note: it will not sign: {done.fork}")


@app.command("catch-up")
def catch_up(folder: Annotated[Path, typer.Argument(help="An export of this log.")]) -> None:
    """After restoring an older backup: add the lost entries from an export, so that the log signs again."""
    from provenance.ledger.embedded.backup import catch_up as add_missing

    with own_ledger() as ledger:
        say(f"added {add_missing(ledger, folder)} entries")
