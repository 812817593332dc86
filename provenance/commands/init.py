"""``veilmark init``: an identity and a ledger on this machine."""

from __future__ import annotations

import getpass
import socket
from typing import Annotated

import typer

from provenance.commands.support.console import note, print_json
from provenance.home import Home


def init(
    name: Annotated[
        str | None,
        typer.Option("--name", help="Who signs, as shown to others (a claimed name). Default: user@host."),
    ] = None,
    algorithm: Annotated[str, typer.Option(help="es256, es384 or ed25519.")] = "es256",
    ask_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that encrypts the key at rest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make an identity and a ledger here. Safe to run again: what exists is kept."""
    from provenance.commands.support.secrets import new_passphrase, passphrase_for
    from provenance.setup import initialize

    home = Home.locate()
    fresh = not home.is_initialized()
    subject = name or (None if not fresh else f"{getpass.getuser()}@{socket.gethostname()}"[:64])
    passphrase = new_passphrase(ask_passphrase) if fresh else passphrase_for(home, None)
    done = initialize(home, subject=subject, algorithm=algorithm, passphrase=passphrase)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(f"identity  {done.claimed_name}  (key {done.key_id[:16]}, {done.algorithm})")
    typer.echo(f"ledger    {done.log_origin}  ({done.log_size} records)")
    typer.echo(f"kept in   {home.data}")
    if fresh:
        note("The name is a claim: others see it as verified only if they trust your root certificate.")
        note(
            "Give it to them with `veilmark identity show --root`, and back up with `veilmark identity backup`."
        )
