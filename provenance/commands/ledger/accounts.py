"""``veilmark ledger account``: encrypted accounts that pay for anchors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.ledger.group import app
from provenance.commands.support.console import say
from provenance.errors import UsageError
from provenance.home import Home

Account = Annotated[
    str, typer.Option("--account", help="The account that pays, as `ledger account list` names it.")
]
PASSPHRASE_VARIABLE = "VEILMARK_ACCOUNT_PASSPHRASE"  # noqa: S105 - the variable's name, no secret
accounts_app = typer.Typer(help="Encrypted accounts that pay for anchors.", no_args_is_help=True)
app.add_typer(accounts_app, name="account")


@accounts_app.command("new")
def new_account(name: Annotated[str, typer.Argument(help="How it is called here.")] = "default") -> None:
    """Make an account, stored encrypted. The passphrase: VEILMARK_ACCOUNT_PASSPHRASE, else a prompt."""
    from provenance.ledger.evm import create_account

    say(create_account(Home.locate(), name, account_passphrase(new=True)))


@accounts_app.command("import")
def import_account(
    keystore: Annotated[Path, typer.Argument(help="An encrypted keystore file (Web3 Secret Storage).")],
    name: Annotated[str, typer.Option("--name", help="How it is called here.")] = "default",
) -> None:
    """Take over an account from an encrypted keystore file."""
    from provenance.ledger.evm import import_account as take_over

    say(take_over(Home.locate(), name, keystore, account_passphrase()))


@accounts_app.command("list")
def list_accounts() -> None:
    """List accounts and their addresses."""
    from provenance.ledger.evm import list_accounts as all_accounts

    for name, address in all_accounts(Home.locate()):
        say(f"{name:<16} {address}")


def account_passphrase(*, new: bool = False) -> str:
    """The account's passphrase: from the environment, else a prompt, asked twice for a ``new`` account."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise UsageError("the account needs a passphrase", hint=f"set {PASSPHRASE_VARIABLE}")
    return str(typer.prompt("Account passphrase", hide_input=True, confirmation_prompt=new, err=True))
