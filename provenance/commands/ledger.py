"""``veilmark ledger``: the log behind the records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands import chain
from provenance.commands.console import clean, fraction, print_json
from provenance.errors import ExitCode
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.audit import AuditReport
    from provenance.ledger.embedded.log import LocalLedger
    from provenance.ledger.policy import Policy
    from provenance.ledger.receipt import Receipt

app = typer.Typer(help="The log behind the records: state, receipts, audits, anchors.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]


@contextmanager
def own_ledger() -> Iterator[LocalLedger]:
    """This machine's ledger; NotInitializedError where there is none."""
    from provenance.ledger.embedded.log import LocalLedger

    home = Home.locate()
    home.require_initialized()
    with LocalLedger.open(home.ledger) as ledger:
        yield ledger


@app.command("status")
def status(as_json: Json = False) -> None:
    """Size, root and key of the log, and what of it left this machine."""
    from provenance.ledger.service import status as state_of

    with own_ledger() as ledger:
        _print(asdict(state_of(ledger)), "veilmark.ledger/1", as_json)


@app.command("proof")
def proof(
    path: Annotated[Path, typer.Argument(help="A recorded file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where the receipt goes.")] = None,
    force: Force = False,
) -> None:
    """Write a fresh receipt for a recorded file (default: FILE.receipt)."""
    from provenance.errors import NoCredentialError
    from provenance.ledger.service import proof as receipts_for
    from provenance.media.files import write_bytes
    from provenance.media.picture import sha256_file
    from provenance.sign import RECEIPT_SUFFIX, with_suffix_added

    digest = sha256_file(path)
    with own_ledger() as ledger:
        found = [r for r in receipts_for(ledger, digest) if r.opening.signed.record.file_sha256 == digest]
    if not found:
        raise NoCredentialError(
            f"no record names {path} itself", hint="`veilmark find` looks by likeness too"
        )
    target = output or with_suffix_added(path, RECEIPT_SUFFIX)
    write_bytes(target, found[-1].to_bytes(), force=force)
    typer.echo(f"receipt {target}  (ledger entry {found[-1].index})")


@app.command("info")
def info(receipt: Annotated[Path, typer.Argument(help="A receipt.")], as_json: Json = False) -> None:
    """Show what a receipt says and what of it holds by your own trust store. Asks no log and no chain."""
    from provenance.ledger.service import info as info_of

    parsed = _read_receipt(receipt)
    found = info_of(parsed, _policy())
    if as_json:
        full = parsed.opening.signed.record.to_json()
        print_json({"schema": "veilmark.receipt/1", **asdict(found), "record": full})
    else:
        record = found.line
        trusted = "you trust" if found.trusted_log else "you do not trust"
        typer.echo(f"log       {clean(found.origin)}, which {trusted}; entry {found.index} of {found.size}")
        typer.echo(
            f"record    {record.relation}, {clean(record.media_type)}, {clean(record.signed_at)} (self-asserted)"
        )
        typer.echo(f"file      sha256 {record.file_sha256}")
        typer.echo(f"signer    {clean(record.claimed_name)} (claimed name; key {record.key_id[:16]})")
        typer.echo(f"proof     {'leads to the checkpoint' if found.included else 'DOES NOT HOLD'}")
        typer.echo(f"anchors   {len(found.anchors)} claimed" if found.anchors else "anchors   none")
        for problem in found.problems:
            typer.echo(f"problem   {clean(problem)}")
    if not (found.included and found.record_signed):
        raise typer.Exit(int(ExitCode.TAMPERED))


@app.command("log")
def log(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1_000_000, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last entries, newest first."""
    from provenance.ledger.service import log as last_entries

    with own_ledger() as ledger:
        for line in last_entries(ledger, last=limit):
            if as_json:
                print_json({"schema": "veilmark.entry/1", **asdict(line)})
                continue
            name = clean(line.claimed_name, 40)
            typer.echo(
                f"{line.index:>6}  {line.logged_at}  {line.relation:<9} {line.file_sha256[:16]}  {name}"
            )


@app.command("audit")
def audit(
    where: Annotated[
        str | None, typer.Argument(help="A published log: folder or address. Default: your own log.")
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
            result = audit_published(where, policy=_policy(), progress=report)
    _show_audit(result, as_json)
    if not result.ok:
        raise typer.Exit(int(ExitCode.TAMPERED))


@app.command("publish")
def publish(
    folder: Annotated[Path, typer.Argument(help="Where the static files go; a web server may serve it.")],
    as_json: Json = False,
) -> None:
    """Write the log as static files (C2SP tlog-tiles): tiles, entry bundles, checkpoint. Reveals no record."""
    from provenance.ledger.publish import publish as publish_log

    with own_ledger() as ledger, fraction("Publishing") as report:
        done = publish_log(ledger, folder, progress=report)
    about = {"folder": str(folder), "size": done.checkpoint.size, "previous_size": done.previous_size}
    _print({**about, "files": done.files, "bytes": done.bytes}, "veilmark.published/1", as_json)


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
    typer.echo(f"exported {done.size} records to {done.folder}")


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
    typer.echo(f"backup of {done.size} records: {done.path} ({done.bytes} bytes)")


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    force: Annotated[bool, typer.Option("--force", help="Restore even an older state.")] = False,
) -> None:
    """Put a backup in place. A log older than what it signed before opens for reading, but signs no fork."""
    from provenance.ledger.embedded.backup import restore as put_back

    done = put_back(source, Home.locate().ledger, force=force)
    typer.echo(f"restored {done.size} records to {done.path}")
    if done.fork:
        typer.echo(f"note: it will not sign: {done.fork}", err=True)


@app.command("upgrade")
def upgrade(
    receipts: Annotated[list[Path], typer.Argument(help="Receipts to bring up to the best checkpoint.")],
) -> None:
    """Upgrade receipts in place: to an anchored checkpoint where there is one, else a cosigned one, else the last."""
    from provenance.media.files import write_bytes

    with own_ledger() as ledger:
        for path in receipts:
            upgraded = chain.upgraded_receipt(ledger, _read_receipt(path), Home.locate())
            write_bytes(path, upgraded.to_bytes())
            anchored = f", {len(upgraded.anchors)} anchor(s)" if upgraded.anchors else ""
            typer.echo(f"upgraded {path}: checkpoint of size {upgraded.checkpoint.size}{anchored}")


app.command("anchor")(chain.anchor)
app.command("deploy")(chain.deploy)
app.add_typer(chain.accounts_app, name="account")


def _read_receipt(path: Path) -> Receipt:
    from provenance.ledger.receipt import MAX_RECEIPT_BYTES, Receipt
    from provenance.verify import read_limited

    return Receipt.from_bytes(read_limited(path, MAX_RECEIPT_BYTES))


def _policy() -> Policy:
    """The verifier's own trust: its logs, and its witnesses without a quorum."""
    from provenance.ledger.policy import Policy
    from provenance.trust.store import TrustStore

    trust = TrustStore.load(Home.locate())
    return Policy.of_witnesses(trust.log_keys.values(), trust.witnesses.values(), 0)


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
        typer.echo(f"{result.where}: {result.entries} entries recomputed, all fit")
    for problem in result.problems:
        place = "log" if problem.index is None else f"entry {problem.index}"
        typer.echo(f"{place}: {clean(problem.what)}")


def _print(about: dict[str, Any], schema: str, as_json: bool) -> None:
    if as_json:
        print_json({"schema": schema, **about})
        return
    for label, value in about.items():
        if value is not None:
            typer.echo(f"{label.replace('_', ' '):<14}{clean(str(value))}")
