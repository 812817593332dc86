"""``veilmark trust list``, ``remove`` and ``export``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.support.console import clean, note, print_json, say
from provenance.commands.trust.group import app, show_certificates
from provenance.home import Home


@app.command("list")
def list_(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Every certificate with its end and fingerprint.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """List everything you trust, and what expires when."""
    from provenance.trust.store import TrustStore

    for entry in TrustStore.load(Home.locate()).entries():
        if as_json:
            print_json({"schema": "veilmark.trust/1", **vars(entry)})
            continue
        say(f"{entry.kind:<17} {entry.name:<28} {clean(entry.detail, 600)}")
        if verbose:
            show_certificates(entry)


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The entry, as `veilmark trust list` names it.")],
    kind: Annotated[str, typer.Option(help="Its kind, where several have that name.")] = "",
) -> None:
    """Stop trusting something."""
    from provenance.trust.store import TrustStore

    entry = TrustStore.load(Home.locate()).remove(name, kind)
    say(f"no longer trusted: {entry.kind} {entry.name}")


@app.command("export")
def export(
    names: Annotated[
        list[str] | None, typer.Argument(help="Entries. Default: everything but published lists.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The trust file to write.")] = Path(
        "veilmark-trust.json"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Write one trust file (roots, log keys, witnesses, contracts) that a colleague adds with `trust add --file`."""
    from provenance.media.files import write_bytes
    from provenance.trust.store import TrustStore
    from provenance.trust.trust_file import export_trust, parse_trust_file

    text = export_trust(TrustStore.load(Home.locate()), names or ())
    write_bytes(output, text.encode(), force=force)
    for one in parse_trust_file(text):
        say(f"{one.kind:<17} {clean(one.name)}")
    say(f"written: {output}")
    note(
        f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()}; tell it to your colleague over another channel"
    )
