"""``veilmark uncloak`` and ``veilmark grant``: the signed original of a cloaked file, for people with a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.console import clean, fraction, note, print_json, say
from provenance.commands.support.secrets import encryption_passphrase_for, passphrase_for, passphrase_of_file
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.sealed.grants import Grant
    from provenance.sealed.keys import EncryptionKey, Keyring
    from provenance.sealed.shelf import GrantShelf
    from provenance.sealed.unseal import SealedSource

File = Annotated[Path, typer.Argument(help="A file that was cloaked with --reversible, as it was written.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="A private encryption key (PEM). Default: those of the identities here."),
]
Owner = Annotated[str | None, typer.Option("--identity", help="Only this identity's encryption key.")]
Grants = Annotated[
    list[Path] | None, typer.Option("--grant", help="A file with a grant that you were given. Repeatable.")
]
Ipfs = Annotated[
    str | None,
    typer.Option(
        "--ipfs", help="Fetch what is not in the store from this IPFS daemon (HTTP API, multiaddr)."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def uncloak(
    file: File,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write the original to.")],
    key: Key = None,
    identity: Owner = None,
    grant: Grants = None,
    ipfs: Ipfs = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Restore the signed original of a cloaked file, bit for bit. Needs a key that it was sealed for or granted to.

    Exit codes: 0 restored; 1 something was altered; 4 no sealed original, or no grant for your key; 3 the sealed
    original is not available. Nothing is written unless all of it is right.
    """
    from provenance.sealed.shelf import GrantShelf
    from provenance.sealed.unseal import open_sealed
    from provenance.trust.store import TrustStore

    home = Home.locate()
    if output.is_dir():
        raise UsageError(f"{output} is a folder", hint="name the file to write: -o ORIGINAL.jpg")
    shelf = GrantShelf.of_home(home)
    with fraction(f"Restoring {output.name}") as report:
        done = open_sealed(
            file,
            output,
            keys=_keys(home, key, identity),
            source=_source(shelf, ipfs),
            shelf=shelf,
            trust=TrustStore.load(home),
            grants=_grants(grant),
            force=force,
            progress=report,
        )
    if done.warning:
        note(f"warning: {done.warning}")
    if as_json:
        print_json(done.to_json())
        return
    name = clean(done.signer, 80)
    who = f"signed by {name}" if done.trusted else f"signed; claimed name {name!r}, not one you trust"
    say(f"restored {done.output}  ({done.size} bytes, {who})")


def grant(
    file: File,
    readers: Annotated[
        list[str],
        typer.Option(
            "--to", help="Who can restore it from now on (an encryption key, or its file). Repeatable."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the grant to this file, to give away.")
    ] = None,
    car: Annotated[
        Path | None,
        typer.Option(
            "--car", help="Also write grant and sealed original to one CAR file, for `veilmark store import`."
        ),
    ] = None,
    key: Key = None,
    identity: Annotated[
        str | None, typer.Option("--identity", help="Which identity signs the grant.")
    ] = None,
    grants: Grants = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let one more person restore the original of a cloaked file. The file stays as it is. It cannot be taken back."""
    from provenance.identity.identity import load_identity
    from provenance.media.files import refuse_existing, write_bytes
    from provenance.sealed.grants import grants_text
    from provenance.sealed.keys import read_recipients
    from provenance.sealed.shelf import GrantShelf
    from provenance.sealed.unseal import grant_access
    from provenance.store.car import export_car
    from provenance.trust.store import TrustStore

    home = Home.locate()
    home.require_initialized()
    for target in (output, car):
        if target is not None:
            refuse_existing(target, force)
    recipients = [one for text in readers for one in read_recipients(text)]
    shelf = GrantShelf.of_home(home)
    made = grant_access(
        file,
        recipients,
        granter=load_identity(home, identity, passphrase_for(home, identity)),
        keys=_keys(home, key, None),
        source=shelf.store,
        shelf=shelf,
        trust=TrustStore.load(home),
        grants=_grants(grants),
    )
    if output is not None:
        write_bytes(output, grants_text(made), force=force)
    if car is not None:
        export_car(shelf.store, [made[0].sealed, *(shelf.put(one) for one in made)], car, force=force)
    if as_json:
        print_json(_granted(file, made, output, car))
        return
    for one in made:
        say(f"granted {file} to the key {one.recipient[:16]}")
    note("A grant cannot be taken back: who has it, and the sealed original, can restore it from now on.")


def readers_of(
    home: Home, identity: str | None, named: list[str], *, reversible: bool, sign: bool
) -> list[EncryptionKey] | None:
    """What ``--reversible`` and ``--for`` ask for; see :func:`provenance.sealed.keys.readers_for`."""
    from provenance.identity.identity import default_name
    from provenance.sealed.keys import readers_for

    def unlock() -> str | None:
        return encryption_passphrase_for(home, identity or default_name(home))

    return readers_for(home, identity, named, unlock, reversible=reversible, sign=sign)


def _granted(file: Path, made: list[Grant], output: Path | None, car: Path | None) -> dict[str, Any]:
    return {
        "schema": "veilmark.granted/1",
        "file": str(file),
        "sealed": made[0].sealed,
        "recipients": [one.recipient for one in made],
        "output": str(output) if output else None,
        "car": str(car) if car else None,
    }


def _keys(home: Home, key: Path | None, identity: str | None) -> Keyring:
    from provenance.sealed.keys import Keyring

    if key is not None and identity is not None:
        raise UsageError("--key and --identity exclude each other", hint="give one of them")
    if key is not None:
        return Keyring.of_file(key, passphrase_of_file(key))
    return Keyring.of_home(home, identity, lambda name: encryption_passphrase_for(home, name))


def _grants(files: list[Path] | None) -> list[Grant]:
    from provenance.sealed.grants import read_grants

    return [one for file in files or [] for one in read_grants(file)]


def _source(shelf: GrantShelf, ipfs: str | None) -> SealedSource:
    if ipfs is None:
        return shelf.store
    from provenance.sealed.unseal import FirstOf
    from provenance.store.ipfs import IpfsStore

    return FirstOf(shelf.store, IpfsStore(ipfs))
