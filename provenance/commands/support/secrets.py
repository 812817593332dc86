"""Where a passphrase comes from: the environment, else a prompt on the terminal; never the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from provenance.commands.support.console import asking
from provenance.errors import IdentityError, NotInitializedError
from provenance.home import Home

VARIABLE = "VEILMARK_PASSPHRASE"


def passphrase_for(home: Home, name: str | None) -> str | None:
    """What opens identity ``name``: its key's passphrase when that is encrypted, its token's PIN, else None."""
    from provenance.identity.identity import default_name, identity_folder

    try:
        folder = identity_folder(home, name or default_name(home))
        about = (folder / "identity.json").read_bytes()[:65536]
    except (OSError, NotInitializedError):
        return os.environ.get(VARIABLE)  # loading the identity says what is missing
    if b'"pkcs11"' in about:
        return _token_pin()
    return passphrase_of_file(folder / "leaf.key")


def encryption_passphrase_for(home: Home, name: str) -> str | None:
    """What opens identity ``name``'s encryption key, or protects it when it is made: the signing key's passphrase. A
    token's PIN has nothing to do with it.
    """
    from provenance.identity.identity import identity_folder
    from provenance.sealed.keys import KEY_FILE

    own = identity_folder(home, name) / KEY_FILE
    return passphrase_of_file(own if own.is_file() else own.with_name("leaf.key"))


def passphrase_of_file(key: Path) -> str | None:
    """The passphrase of a key file (PEM): from the environment, or asked for where the key is encrypted; else None."""
    given = os.environ.get(VARIABLE)
    if given:
        return given
    try:
        encrypted = b"ENCRYPTED" in key.read_bytes()[:4096]
    except OSError:
        return None
    if not encrypted or not sys.stdin.isatty():
        return None
    with asking():
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


def token_pin() -> str:
    """A PKCS#11 token's PIN: from the environment, else a prompt.

    Raises:
        IdentityError: neither is there.
    """
    from provenance.identity.pkcs11 import PIN_VARIABLE

    pin = _token_pin()
    if not pin:
        raise IdentityError("the token needs its PIN", hint=f"set {PIN_VARIABLE}")
    return pin


def _token_pin() -> str | None:
    from provenance.identity.pkcs11 import PIN_VARIABLE

    given = os.environ.get(PIN_VARIABLE)
    if given or not sys.stdin.isatty():
        return given
    with asking():
        return str(typer.prompt("PIN", hide_input=True, err=True))
