"""``veilmark identity import|export|rotate|revoke|backup|restore``: the life of a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.identity.group import Signer, TokenUri, app
from provenance.commands.support.console import note, say
from provenance.commands.support.paths import read_text
from provenance.commands.support.secrets import new_passphrase, passphrase_for, passphrase_of_file, token_pin
from provenance.errors import UsageError
from provenance.home import Home

Name = Annotated[str, typer.Argument(help="Which identity.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]
EXPORT_VARIABLE = "VEILMARK_EXPORT_PASSPHRASE"


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="How it will be called on this machine.")],
    chain: Annotated[Path, typer.Option("--chain", help="The certificate and its issuers (PEM).")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The private key (PEM, PKCS#8). Default: that of the request NAME."),
    ] = None,
    signer: Signer = None,
    pkcs11: TokenUri = None,
    ask_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that encrypts the key here.")
    ] = False,
) -> None:
    """Import a bought certificate or one of your own CA, with its key, a signer program or a PKCS#11 token.

    Without any of these it is the answer to `veilmark identity request NAME`.
    """
    from provenance.identity.admin import import_identity
    from provenance.identity.remote_keys import import_external, import_token, split_command
    from provenance.identity.request import import_requested

    if sum(map(bool, (key, signer, pkcs11))) > 1:
        raise UsageError("give one of --key, --signer and --pkcs11")
    home = Home.locate()
    pem = read_text(chain)
    if signer:
        identity = import_external(home, name, chain_pem=pem, command=split_command(signer))
    elif pkcs11:
        identity = import_token(home, name, chain_pem=pem, uri=pkcs11, pin=token_pin())
    elif key is None:
        identity = import_requested(home, name, chain_pem=pem, passphrase=passphrase_of_file)
    else:
        identity = import_identity(
            home,
            name,
            chain_pem=pem,
            key_pem=read_text(key).encode(),
            key_passphrase=_other_passphrase("Passphrase of the key file", ask=False),
            passphrase=new_passphrase(ask_passphrase),
        )
    say(f"{identity.name}  {identity.claimed_name}  key {identity.key_id[:16]}")


@app.command("export")
def export(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write (0600).")],
    plain: Annotated[bool, typer.Option("--plain", help="Leave the key unencrypted in the file.")] = False,
    force: Force = False,
) -> None:
    """Write certificates and key as one PEM file, encrypted unless --plain, for other C2PA tools."""
    from provenance.identity.admin import export_identity
    from provenance.media.files import write_bytes

    home = Home.locate()
    secret = None if plain else _other_passphrase("Passphrase for the export", ask=True)
    data = export_identity(home, name, passphrase=passphrase_for(home, name), export_passphrase=secret)
    write_bytes(output, data, force=force, mode=0o600)
    say(f"exported {name} to {output}")


@app.command("rotate")
def rotate(name: Name) -> None:
    """Make a fresh leaf key under the same root. What the old key signed stays valid."""
    from provenance.identity.admin import rotate_identity

    home = Home.locate()
    done = rotate_identity(home, name, passphrase=passphrase_for(home, name))
    say(f"{name}: new key {done.identity.key_id[:16]}; old certificate kept as {done.retired_certificate}")


@app.command("revoke")
def revoke(
    name: Name,
    reason: Annotated[
        str, typer.Option(help="As in RFC 5280: keyCompromise, superseded, ...")
    ] = "unspecified",
    since: Annotated[
        str | None,
        typer.Option("--since", help="From when (RFC 3339); the past needs the root key. Default: now."),
    ] = None,
    key_id: Annotated[str | None, typer.Option("--key-id", help="An earlier key, by its id.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The statement's file. Default: NAME.revocation.json."),
    ] = None,
    force: Force = False,
) -> None:
    """Take a key back. Writes a signed statement; whoever adds it to their trust store stops accepting the key.

    What was anchored, witnessed or time-stamped before the revocation stays valid; all else does not.
    """
    from provenance.media.files import refuse_existing, write_bytes
    from provenance.trust.revocation import revoke_key
    from provenance.trust.store import TrustStore

    home = Home.locate()
    target = output or Path(f"{name}.revocation.json")
    refuse_existing(target, force)
    statement = revoke_key(
        home, name, reason=reason, revoked_at=since, key_id=key_id, passphrase=passphrase_for(home, name)
    )
    write_bytes(target, statement.encode(), force=force)
    TrustStore.load(home).add_revocation(statement)
    say(f"revoked {name}; give {target} to everybody who trusts the key")


@app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="The encrypted file to write.")], force: Force = False
) -> None:
    """Write all identities, their roots and the trust store to one encrypted file. The ledger has its own backup."""
    from provenance.identity.backup import backup_identities

    secret = _other_passphrase("Passphrase for the backup", ask=True)
    count = backup_identities(Home.locate(), target, passphrase=secret or "", force=force)
    say(f"backup of {count} files: {target}")


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="A backup of identities.")], force: Force = False
) -> None:
    """Bring identities, roots and trust store back from an encrypted backup."""
    from provenance.identity.backup import restore_identities

    secret = _other_passphrase("Passphrase of the backup", ask=False, need=True)
    count = restore_identities(source, Home.locate(), passphrase=secret or "", force=force)
    say(f"restored {count} files")
    note("The ledger is separate: `veilmark ledger restore`.")


def _other_passphrase(prompt: str, *, ask: bool, need: bool = False) -> str | None:
    """A passphrase that is not the identity's own: from its variable, else a prompt on a terminal."""
    import os
    import sys

    given = os.environ.get(EXPORT_VARIABLE)
    if given:
        return given
    if not (ask or need):
        return None
    if not sys.stdin.isatty():
        raise UsageError("a passphrase is needed", hint=f"set {EXPORT_VARIABLE}")
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=ask, err=True))
