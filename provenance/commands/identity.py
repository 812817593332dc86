"""``veilmark identity``: keys and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.console import print_json
from provenance.commands.secrets import new_passphrase, passphrase_for
from provenance.home import Home

app = typer.Typer(help="Keys and certificates: who signs.", no_args_is_help=True)


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
    signer: Annotated[
        str | None,
        typer.Option(
            "--signer",
            help="A program that holds the key: bytes on stdin, raw signature on stdout (HSM, KMS).",
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", help="With --signer: the key's public half (PEM or DER)."),
    ] = None,
) -> None:
    """Make another identity; its root is trusted on this machine.

    With --signer and --public-key a root made here certifies a key that stays in another program's keeping.
    """
    from provenance.errors import UsageError
    from provenance.identity import certificates
    from provenance.identity.admin import certify_external, split_command
    from provenance.identity.identity import create_identity
    from provenance.trust.store import TrustStore

    home = Home.locate()
    home.require_initialized()
    if (signer is None) != (public_key is None):
        raise UsageError(
            "--signer and --public-key belong together",
            hint="a certificate of your own goes with `veilmark identity import --signer`",
        )
    if signer is not None and public_key is not None:
        identity = certify_external(
            home,
            name,
            subject=subject,
            public_key_pem=read_bytes(public_key),
            command=split_command(signer),
            passphrase=new_passphrase(ask_passphrase),
        )
    else:
        identity = create_identity(
            home, name, subject=subject, algorithm=algorithm, passphrase=new_passphrase(ask_passphrase)
        )
    TrustStore.load(home).add_anchor(certificates.to_pem([identity.root]))
    typer.echo(f"{identity.name}  {identity.claimed_name}  key {identity.key_id[:16]}")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False) -> None:
    """List the identities on this machine; * marks the default one."""
    from provenance.identity.identity import default_name, list_names

    home = Home.locate()
    home.require_initialized()
    default = default_name(home)
    for name in list_names(home):
        if as_json:
            print_json({"schema": "veilmark.identity/1", "name": name, "default": name == default})
        else:
            typer.echo(f"{'*' if name == default else ' '} {name}")


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
        typer.echo(str(ensure_encryption_key(home, named, lambda: passphrase_for(home, named))))
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
        print_json({"schema": "veilmark.identity/1", **about})
        return
    for label, value in about.items():
        typer.echo(f"{label.replace('_', ' '):<18}{value}")


@app.command("use")
def use(name: Annotated[str, typer.Argument(help="The identity that signs when none is named.")]) -> None:
    """Choose the default identity."""
    from provenance.identity.identity import set_default

    set_default(Home.locate(), name)
    typer.echo(f"default identity: {name}")


def read_text(path: Path, limit: int = 4 * 1024 * 1024) -> str:
    """A small text file named on the command line; MissingPathError or UsageError otherwise."""
    from provenance.errors import UsageError

    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", hint="give a PEM or text file") from None


def read_bytes(path: Path, limit: int = 4 * 1024 * 1024) -> bytes:
    """A small file named on the command line; MissingPathError or UsageError otherwise."""
    from provenance.errors import MissingPathError, UsageError

    try:
        if path.stat().st_size > limit:
            raise UsageError(f"{path} is over the limit of {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
