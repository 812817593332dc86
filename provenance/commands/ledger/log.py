"""``veilmark ledger status|proof|info|log|upgrade``: the own log, and receipts from it."""

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
    own_policy,
    print_values,
    read_receipt,
)
from provenance.commands.support.console import clean, print_json, say
from provenance.errors import ExitCode
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.log import Log
    from provenance.ledger.receipt import Receipt


@app.command("status")
def status(as_json: Json = False) -> None:
    """Size, root and key of the log, and what of it left this machine."""
    from provenance.ledger.service import status as state_of

    with own_ledger() as ledger:
        print_values(asdict(state_of(ledger)), "veilmark.ledger/1", as_json)


@app.command("proof")
def proof(
    path: Annotated[Path, typer.Argument(help="A recorded file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where the receipt goes.")] = None,
    force: Force = False,
) -> None:
    """Write a fresh receipt for a recorded file (default: FILE.receipt)."""
    from provenance.errors import NoCredentialError
    from provenance.ledger.service import proof as receipts_for
    from provenance.media.files import sha256_file, write_bytes
    from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added

    digest = sha256_file(path)
    with own_ledger() as ledger:
        found = [r for r in receipts_for(ledger, digest) if r.opening.signed.record.file_sha256 == digest]
    if not found:
        raise NoCredentialError(
            f"no record names {path} itself", hint="`veilmark find` looks by likeness too"
        )
    target = output or with_suffix_added(path, RECEIPT_SUFFIX)
    write_bytes(target, found[-1].to_bytes(), force=force)
    say(f"receipt {target}  (record no. {found[-1].index} in your log)")


@app.command("info")
def info(receipt: Annotated[Path, typer.Argument(help="A receipt.")], as_json: Json = False) -> None:
    """Show what a receipt says and what of it holds by your own trust store. Asks no log and no chain."""
    from provenance.ledger.service import info as info_of

    parsed = read_receipt(receipt)
    found = info_of(parsed, own_policy())
    if as_json:
        full = parsed.opening.signed.record.to_json()
        print_json({"schema": "veilmark.receipt-info/1", **asdict(found), "record": full})
    else:
        record = found.line
        trusted = "you trust" if found.trusted_log else "you do not trust"
        say(f"log       {clean(found.origin)}, which {trusted}; entry {found.index} of {found.size}")
        say(
            f"record    {record.relation}, {clean(record.media_type)}, {clean(record.signed_at)} (self-asserted)"
        )
        say(f"file      sha256 {record.file_sha256}")
        say(f"signer    {clean(record.claimed_name)} (claimed name; key {record.key_id[:16]})")
        say(f"proof     {'leads to the checkpoint' if found.included else 'DOES NOT HOLD'}")
        if not found.anchors:
            say("anchors   none")
        for claim in found.anchors:
            about = {
                name: clean(str(claim.get(name, "?"))) for name in ("chain_id", "contract", "block_number")
            }
            say(
                f"anchor    chain {about['chain_id']}, contract {about['contract']} (as the receipt says; not checked)"
            )
            say(
                f"          block {about['block_number']}, hash 0x{clean(str(claim.get('block_hash', '?')))}",
                indent=10,
            )
        for problem in found.problems:
            say(f"problem   {clean(problem)}")
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
            say(f"{line.index:>6}  {line.logged_at}  {line.relation:<9} {line.file_sha256[:16]}  {name}")


@app.command("upgrade")
def upgrade(
    receipts: Annotated[list[Path], typer.Argument(help="Receipts to bring up to the best checkpoint.")],
) -> None:
    """Upgrade receipts in place: to an anchored checkpoint where there is one, else a cosigned one, else the last."""
    from provenance.media.files import write_bytes

    with own_ledger() as ledger:
        for path in receipts:
            upgraded = _upgraded(ledger, read_receipt(path), Home.locate())
            write_bytes(path, upgraded.to_bytes())
            anchored = f", {len(upgraded.anchors)} anchor(s)" if upgraded.anchors else ""
            say(f"upgraded {path}: checkpoint of size {upgraded.checkpoint.size}{anchored}")


def _upgraded(ledger: Log, receipt: Receipt, home: Home) -> Receipt:
    """The receipt against the earliest anchored checkpoint that covers it, else the best there is."""
    from provenance.ledger.service import upgrade as best_own

    upgraded = best_own(ledger, receipt)
    if not ledger.kept_checkpoints("anchored"):
        return upgraded
    from provenance.ledger.evm.receipts import anchored_receipt

    return anchored_receipt(home, ledger, receipt.index) or upgraded
