"""``veilmark ledger``: the log behind the records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.console import clean, print_json
from provenance.errors import NoCredentialError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.local import LocalLedger

app = typer.Typer(help="The log behind the records: state, receipts, entries.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


@contextmanager
def own_ledger() -> Iterator[LocalLedger]:
    """This machine's ledger; NotInitializedError where there is none."""
    from provenance.ledger.local import LocalLedger

    home = Home.locate()
    home.require_initialized()
    with LocalLedger.open(home.ledger) as ledger:
        yield ledger


@app.command("status")
def status(as_json: Json = False) -> None:
    """Size, root and key of the log."""
    with own_ledger() as ledger:
        checkpoint = ledger.checkpoint()
        about = {
            "origin": ledger.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "log_key": ledger.log_key,
            "path": str(ledger.path),
            "fork": str(ledger.fork) if ledger.fork else None,
        }
    if as_json:
        print_json({"schema": "veilmark.ledger/1", **about})
        return
    for label, value in about.items():
        if value is not None:
            typer.echo(f"{label.replace('_', ' '):<10}{value}")


@app.command("proof")
def proof(
    path: Annotated[Path, typer.Argument(help="A recorded file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where the receipt goes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a receipt that exists.")] = False,
) -> None:
    """Write a fresh receipt for a recorded file (default: FILE.receipt)."""
    from provenance.atomic import write_bytes
    from provenance.media import sha256_file
    from provenance.sign import RECEIPT_SUFFIX, with_suffix_added

    digest = sha256_file(path)
    with own_ledger() as ledger:
        found = [
            entry for entry in ledger.find_sha256(digest) if entry.opening.signed.record.file_sha256 == digest
        ]
        if not found:
            raise NoCredentialError(
                f"no record of {path} in {ledger.origin}", hint="`veilmark find` looks by likeness too"
            )
        target = output or with_suffix_added(path, RECEIPT_SUFFIX)
        write_bytes(target, ledger.receipt(found[-1].index).to_bytes(), force=force)
    typer.echo(f"receipt {target}  (ledger entry {found[-1].index})")


@app.command("info")
def info(
    receipt: Annotated[Path, typer.Argument(help="A receipt.")],
    as_json: Json = False,
) -> None:
    """Show what a receipt says and whether its proof holds; trusts nothing."""
    from provenance.ledger.receipt import MAX_RECEIPT_BYTES, Receipt
    from provenance.verify import read_limited

    parsed = Receipt.from_bytes(read_limited(receipt, MAX_RECEIPT_BYTES))
    parsed.opening.signed.verify()
    parsed.verify_inclusion()
    record = parsed.opening.signed.record
    if as_json:
        print_json(
            {
                "schema": "veilmark.receipt/1",
                "origin": parsed.checkpoint.origin,
                "index": parsed.index,
                "size": parsed.checkpoint.size,
                "record": record.to_json(),
                "key_id": parsed.opening.signed.key_id,
                "anchors": list(parsed.anchors),
            }
        )
        return
    typer.echo(
        f"log       {clean(parsed.checkpoint.origin)}  entry {parsed.index} of {parsed.checkpoint.size}"
    )
    typer.echo(
        f"record    {record.relation}, {clean(record.media_type)}, {clean(record.time)} (self-asserted)"
    )
    typer.echo(f"file      sha256 {record.file_sha256}")
    typer.echo(
        f"signer    {clean(record.signer.get('name', ''))} (claimed; key {record.signer['key_id'][:16]})"
    )
    typer.echo(
        "proof     the record is in the tree of the checkpoint; whose log it is, `veilmark verify` judges"
    )


@app.command("log")
def log(
    start: Annotated[int, typer.Option(min=0, help="First entry.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50,
    as_json: Json = False,
) -> None:
    """List records in log order."""
    with own_ledger() as ledger:
        for entry in ledger.entries(start, start + limit):
            record = entry.opening.signed.record
            if as_json:
                print_json(
                    {
                        "schema": "veilmark.entry/1",
                        "index": entry.index,
                        "logged_at": entry.logged_at,
                        "record": record.to_json(),
                    }
                )
                continue
            name = clean(record.signer.get("name", ""), 40)
            typer.echo(
                f"{entry.index:>6}  {entry.logged_at}  {record.relation:<9} {record.file_sha256[:16]}  {name}"
            )
