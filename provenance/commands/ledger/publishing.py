"""``veilmark ledger audit|publish``: what others can recompute."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.ledger.group import (
    Json,
    app,
    own_ledger,
    own_policy,
    print_values,
)
from provenance.commands.support.console import clean, fraction, print_json, say
from provenance.errors import ExitCode

if TYPE_CHECKING:
    from provenance.ledger.audit import AuditReport


@app.command("audit")
def audit(
    where: Annotated[
        str | None,
        typer.Argument(help="A published log: folder, web address, s3://BUCKET/PREFIX. Default: your own."),
    ] = None,
    signatures: Annotated[
        bool, typer.Option("--signatures", help="Check every record's own signature too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recompute everything from the leaves and name the first entry that does not fit."""
    from provenance.ledger.audit import audit as audit_own
    from provenance.ledger.audit import audit_published

    with fraction("Auditing") as report:
        if where is None:
            with own_ledger() as ledger:
                result = audit_own(ledger, signatures=signatures, progress=report)
        else:
            result = audit_published(where, policy=own_policy(), progress=report)
    _show_audit(result, as_json)
    if not result.ok:
        raise typer.Exit(int(ExitCode.TAMPERED))


@app.command("publish")
def publish(
    folder: Annotated[
        str,
        typer.Argument(
            help="Where the static files go: a folder, which a web server may serve, or s3://BUCKET/PREFIX."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write the log as static files (C2SP tlog-tiles): tiles, entry bundles, checkpoint. Reveals no record."""
    from provenance.ledger.publish import publish as publish_log

    with own_ledger() as ledger, fraction("Publishing") as report:
        done = publish_log(ledger, folder, progress=report)
    about = {"folder": folder, "size": done.checkpoint.size, "previous_size": done.previous_size}
    print_values({**about, "files": done.files, "bytes": done.bytes}, "veilmark.published/1", as_json)


def _show_audit(result: AuditReport, as_json: bool) -> None:
    about = {
        "where": result.where,
        "ok": result.ok,
        "origin": result.checkpoint.origin,
        "size": result.checkpoint.size,
        "entries": result.entries,
        "first_bad": result.first_bad,
        "log_trusted": result.log_trusted,
        "problems": [asdict(problem) for problem in result.problems],
    }
    if as_json:
        print_json({"schema": "veilmark.audit/1", **about})
        return
    if result.ok:
        say(f"{result.where}: {result.entries} entries recomputed, all fit")
    for problem in result.problems:
        place = "log" if problem.index is None else f"entry {problem.index}"
        say(f"{place}: {clean(problem.what)}")
