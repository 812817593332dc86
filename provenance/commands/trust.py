"""``veilmark trust``: the trust store of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.support.console import print_json
from provenance.commands.support.paths import read_text
from provenance.errors import UsageError
from provenance.home import Home

app = typer.Typer(
    help="What you trust: certificate anchors, logs, witnesses, contracts. Nothing else is ever trusted.",
    no_args_is_help=True,
)


@app.command("add")
def add(
    anchor: Annotated[
        Path | None, typer.Option("--anchor", help="Certificate authorities (PEM file).")
    ] = None,
    log: Annotated[
        str | None, typer.Option("--log", help="A ledger, by its verifier key (name+id+key).")
    ] = None,
    witness: Annotated[
        str | None, typer.Option("--witness", help="A witness, by its verifier key (name+id+key).")
    ] = None,
    contract: Annotated[
        str | None, typer.Option("--contract", help="An on-chain ledger: CHAIN_ID:ADDRESS:LOG_OWNER.")
    ] = None,
    revocation: Annotated[
        Path | None,
        typer.Option("--revocation", help="A revocation statement: a key no longer to be trusted."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="How the entry is called here.")] = "",
) -> None:
    """Trust something from now on."""
    from provenance.trust.store import TrustStore

    given = [value for value in (anchor, log, witness, contract, revocation) if value]
    if len(given) != 1:
        raise UsageError(
            "give exactly one of --anchor, --log, --witness, --contract, --revocation",
            hint="for example: veilmark trust add --anchor root.pem",
        )
    store = TrustStore.load(Home.locate())
    if anchor:
        entry = store.add_anchor(read_text(anchor), name)
    elif log:
        entry = store.add_log_key(log, name)
    elif revocation:
        from provenance.trust.revocation import parse_revocation

        statement = read_text(revocation)
        parse_revocation(statement)
        entry = store.add_revocation(statement, name)
    elif witness:
        entry = store.add_witness(witness, name)
    else:
        parts = str(contract).split(":")
        if len(parts) != 3 or not parts[0].isdecimal():
            raise UsageError(f"{str(contract)[:80]!r} is not CHAIN_ID:ADDRESS:LOG_OWNER")
        entry = store.add_contract(int(parts[0]), parts[1], parts[2], name)
    typer.echo(f"trusted: {entry}")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False) -> None:
    """List everything you trust."""
    from provenance.trust.store import TrustStore

    for entry in TrustStore.load(Home.locate()).entries():
        if as_json:
            print_json({"schema": "veilmark.trust/1", **vars(entry)})
        else:
            typer.echo(f"{entry.kind:<10} {entry.name:<28} {entry.detail}")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The entry, as `veilmark trust list` names it.")],
    kind: Annotated[str, typer.Option(help="anchor, log, witness or contract.")] = "",
) -> None:
    """Stop trusting something."""
    from provenance.trust.store import TrustStore

    entry = TrustStore.load(Home.locate()).remove(name, kind)
    typer.echo(f"no longer trusted: {entry.kind} {entry.name}")
