"""``veilmark identity new|list|show|use``: keys and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.identity.group import Signer, TokenUri, app
from provenance.commands.support.console import print_json, say
from provenance.commands.support.paths import read_bytes
from provenance.commands.support.secrets import (
    encryption_passphrase_for,
    new_passphrase,
    passphrase_for,
    token_pin,
)
from provenance.errors import UsageError
from provenance.home import Home


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="How it is called on this machine.")],
    subject: Annotated[
        str, typer.Option("--subject", help="Who signs, as shown to others (a claimed name).")
    ],
    algorithm: Annotated[str, typer.Option(help="es256, es384 or ed25519.")] = "es256",
    ask_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that encrypts the key at rest.")
    ] = False,
    signer: Signer = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", help="With --signer: the key's public half (PEM or DER)."),
    ] = None,
    pkcs11: TokenUri = None,
    make_key: Annotated[
        bool, typer.Option("--make-key", help="With --pkcs11: make the key in the token first.")
    ] = False,
) -> None:
    """Make another identity; its root is trusted on this machine.

    With --signer and --public-key, or with --pkcs11, a root made here certifies a key that stays where it is.
    """
    from provenance.identity import certificates
    from provenance.identity.identity import create_identity
    from provenance.identity.remote_keys import certify_external, certify_token, split_command
    from provenance.trust.store import TrustStore

    home = Home.locate()
    home.require_initialized()
    if (signer is None) != (public_key is None):
        raise UsageError(
            "--signer and --public-key belong together",
            hint="a certificate of your own goes with `veilmark identity import --signer`",
        )
    if pkcs11 is not None and signer is not None:
        raise UsageError("--signer and --pkcs11 exclude each other", hint="give one of them")
    if make_key and pkcs11 is None:
        raise UsageError("--make-key makes a key in a token", hint="add --pkcs11 URI")
    secret = new_passphrase(ask_passphrase)
    if pkcs11 is not None:
        identity = certify_token(
            home,
            name,
            subject=subject,
            uri=pkcs11,
            pin=token_pin(),
            generate=algorithm if make_key else None,
            passphrase=secret,
        )
    elif signer is not None and public_key is not None:
        identity = certify_external(
            home,
            name,
            subject=subject,
            public_key=read_bytes(public_key),
            command=split_command(signer),
            passphrase=secret,
        )
    else:
        identity = create_identity(home, name, subject=subject, algorithm=algorithm, passphrase=secret)
    TrustStore.load(home).add_anchor(certificates.to_pem([identity.root]))
    say(f"{identity.name}  {identity.claimed_name}  key {identity.key_id[:16]}")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False) -> None:
    """List the identities on this machine; * marks the default one."""
    from provenance.identity.identity import default_name, list_names

    home = Home.locate()
    home.require_initialized()
    default = default_name(home)
    for name in list_names(home):
        if as_json:
            print_json({"schema": "veilmark.identity-name/1", "name": name, "default": name == default})
        else:
            say(f"{'*' if name == default else ' '} {name}")


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Which identity. Default: the default one.")] = None,
    root: Annotated[
        bool, typer.Option("--root", help="Print the root certificate (PEM), to give to others.")
    ] = False,
    chain: Annotated[bool, typer.Option("--chain", help="Print the whole chain (PEM), leaf first.")] = False,
    encryption_key: Annotated[
        bool,
        typer.Option(
            "--encryption-key",
            help="Print the public encryption key, for others to seal or grant originals to.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show an identity, or print its certificates or public encryption key. Never prints a private key."""
    from provenance.identity import certificates
    from provenance.identity.identity import default_name, load_identity
    from provenance.sealed.keys import ensure_encryption_key, published_key

    home = Home.locate()
    home.require_initialized()
    if encryption_key:
        named = name or default_name(home)
        say(str(ensure_encryption_key(home, named, lambda: encryption_passphrase_for(home, named))))
        return
    identity = load_identity(home, name, passphrase_for(home, name))
    if root or chain:
        typer.echo(certificates.to_pem([identity.root]) if root else identity.chain_pem, nl=False)
        return
    until = f"{identity.leaf.not_valid_after_utc:%Y-%m-%d}"
    about = {
        "name": identity.name,
        "claimed_name": identity.claimed_name,
        "kind": identity.kind,
        "algorithm": identity.algorithm,
        "key_id": identity.key_id,
        "created": identity.created,
        "valid_until": until,
    }
    if (encryption := published_key(home, identity.name)) is not None:
        about["encryption_key_id"] = encryption.key_id
    if as_json:
        print_json({"schema": "veilmark.identity-info/1", **about})
        return
    for label, value in about.items():
        say(f"{label.replace('_', ' '):<18}{value}")


@app.command("use")
def use(name: Annotated[str, typer.Argument(help="The identity that signs when none is named.")]) -> None:
    """Choose the default identity."""
    from provenance.identity.identity import set_default

    set_default(Home.locate(), name)
    say(f"default identity: {name}")
