"""Where a passphrase comes from: the environment, else a prompt on the terminal; never the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from provenance.errors import IdentityError, NotInitializedError
from provenance.home import Home

VARIABLE = "VEILMARK_PASSPHRASE"


def passphrase_for(home: Home, name: str | None, file: str = "leaf.key") -> str | None:
    """The passphrase for identity ``name`` when its key is encrypted, else None; ``file`` names another key of it."""
    given = os.environ.get(VARIABLE)
    if given:
        return given
    from provenance.identity.identity import default_name, identity_folder

    try:
        key = identity_folder(home, name or default_name(home)) / file
    except NotInitializedError:
        return None  # loading the identity says what is missing
    return passphrase_of_file(key)


def passphrase_of_file(key: Path) -> str | None:
    """The passphrase for a key file (PEM) when it is encrypted, else None."""
    given = os.environ.get(VARIABLE)
    if given:
        return given
    try:
        encrypted = b"ENCRYPTED" in key.read_bytes()[:4096]
    except OSError:
        return None  # as above
    if not encrypted or not sys.stdin.isatty():
        return None
    return str(typer.prompt("Passphrase", hide_input=True, err=True))


def new_passphrase(ask: bool) -> str | None:
    """A passphrase for a new key: from the environment, or asked twice when ``ask`` is set."""
    given = os.environ.get(VARIABLE)
    if given or not ask:
        return given or None
    if not sys.stdin.isatty():
        raise IdentityError(
            "a passphrase was asked for, but there is no terminal to type it", hint=f"set {VARIABLE}"
        )
    return str(typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
