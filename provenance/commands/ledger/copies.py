"""``veilmark ledger export|backup|restore|catch-up|migrate``: copies of the log, and coming back after a loss."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.ledger.group import (
    Force,
    Json,
    app,
    own_ledger,
)
from provenance.commands.support.console import fraction, note, print_json, say
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.embedded.log import LocalLedger
    from provenance.ledger.log import Log


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
        embedded = _embedded(ledger)
        done = back_up(embedded, target, include_key=include_key, force=force)
    say(f"backup of {done.size} records: {done.path} ({done.bytes} bytes)")


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    force: Annotated[bool, typer.Option("--force", help="Restore even an older state.")] = False,
) -> None:
    """Put a backup in place. A log older than what it signed before opens for reading, but signs no fork."""
    from provenance.ledger.embedded.backup import restore as put_back
    from provenance.ledger.opening import database_address

    if database_address(Home.locate()) is not None:
        raise UsageError("the log lies on a PostgreSQL server", hint="restore it there with pg_restore")
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


@app.command("migrate")
def migrate(
    to: Annotated[
        str,
        typer.Option("--to", help="postgresql://USER@HOST/NAME, or `embedded` for the file on this machine."),
    ],
    as_json: Json = False,
) -> None:
    """Move the log into a PostgreSQL database, or back. Interrupted, it is finished by running it again.

    Nobody can append meanwhile. The place it leaves keeps a copy that takes no more records.
    """
    from provenance.ledger.migrate import to_file, to_server

    home = Home.locate()
    home.require_initialized()
    with fraction("Migrating") as report:
        done = to_file(home, progress=report) if to == "embedded" else to_server(home, to, progress=report)
    if as_json:
        kept = None if done.kept is None else str(done.kept)
        print_json({"schema": "veilmark.migrated/1", **asdict(done), "kept": kept})
        return
    say(f"{done.origin}: {done.size} records are in {done.target} now ({done.copied} copied by this run)")
    if done.kept:
        note(f"The old file is kept as {done.kept} and takes no more records.")


def _embedded(ledger: Log) -> LocalLedger:
    """The log as a file; UsageError where it is none."""
    from provenance.ledger.embedded.log import LocalLedger

    if not isinstance(ledger, LocalLedger):
        raise UsageError(
            "the log lies on a PostgreSQL server", hint=f"back it up with pg_dump: {ledger.where}"
        )
    return ledger
