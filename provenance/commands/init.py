"""``veilmark init``: an identity and a ledger on this machine."""

from __future__ import annotations

import getpass
import socket
import sys
from typing import Annotated

import typer

from provenance.commands.support.console import note, print_json, say
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
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            help="Keep the log in this PostgreSQL database (postgresql://USER@HOST/NAME), or use the one it holds.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make an identity and a ledger here. Safe to run again: what exists is kept."""
    from provenance.commands.support.secrets import new_passphrase, passphrase_for
    from provenance.setup import initialize

    home = Home.locate()
    fresh = not home.is_initialized()
    subject = name or (None if not fresh else f"{getpass.getuser()}@{socket.gethostname()}"[:64])
    passphrase = new_passphrase(ask_passphrase) if fresh else passphrase_for(home, None)
    done = initialize(home, subject=subject, algorithm=algorithm, passphrase=passphrase, database=database)
    if as_json:
        print_json(done.to_json())
        return
    say(f"identity  {done.claimed_name}  (key {done.key_id[:16]}, {done.algorithm})")
    say(f"ledger    {done.log_origin}  ({done.log_size} records)")
    say(f"kept in   {home.data}" + (f" and {done.database}" if done.database else ""))
    if fresh and sys.stdin.isatty() and sys.stderr.isatty():
        _offer_lists(home)
    if fresh:
        note("The name is a claim: others see it as verified only if they trust your root certificate.")
        note(
            "Give it to them with `veilmark identity show --root`, and back up with `veilmark identity backup`."
        )


def _offer_lists(home: Home) -> None:
    """Ask whether the C2PA's trust lists count here; without an answer they do not."""
    from provenance.trust.shipped import SHIPPED
    from provenance.trust.store import TrustStore

    question = "Trust the certificate authorities on the C2PA's public trust lists (cameras, software)?"
    if not typer.confirm(question, default=False, err=True):
        note("Not trusted. Say so later with `veilmark trust add --list c2pa`.")
        return
    store = TrustStore.load(home)
    for one in SHIPPED["c2pa"]:
        store.add_list(one.text(), one.name, purpose=one.purpose, url=one.url)
    note("Trusted; see `veilmark trust list`. `veilmark trust update` gets the present issue.")
