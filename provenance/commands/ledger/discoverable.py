"""``veilmark ledger discoverable``: which records others may find on a service of this ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.ledger.group import Json, app, own_ledger
from provenance.commands.support.console import clean, note, print_json, say
from provenance.errors import NoCredentialError, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.log import Log


@app.command("discoverable")
def discoverable(
    records: Annotated[
        list[str] | None,
        typer.Argument(help="Record numbers, or recorded files. None: list what is discoverable."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Let others find them no longer.")] = False,
    as_json: Json = False,
) -> None:
    """Let others find records on a service of this ledger, or list which they may find. None, unless you say so."""
    from provenance.resolve.listing import WARNING, listings, make_discoverable, make_private
    from provenance.store.local import LocalStore

    if off and not records:
        raise UsageError("--off needs the records", hint="veilmark ledger discoverable 17 --off")
    with own_ledger() as ledger:
        for name in records or []:
            for entry in _entries(ledger, name):
                if off:
                    make_private(ledger, entry)
                else:
                    make_discoverable(ledger, LocalStore(Home.locate().store), entry)
                    note(f"warning: {WARNING}")
                _show(ledger, entry, not off, as_json)
        if not records:
            for one in listings(ledger):
                _show(ledger, one.entry, True, as_json)


def _entries(ledger: Log, name: str) -> list[int]:
    """The record of that number, or all of that file."""
    if name.isascii() and name.isdecimal() and not Path(name).exists():
        return [ledger.entry(int(name)).index]
    from provenance.media.media_file import MediaFile

    digest = MediaFile.open(Path(name), any_file=True).sha256
    found = [one.index for one in ledger.find_sha256(digest) if one.record.file_sha256 == digest]
    if not found:
        raise NoCredentialError(
            f"no record names {name} itself", hint="`veilmark find` looks by likeness too"
        )
    return found


def _show(ledger: Log, index: int, on: bool, as_json: bool) -> None:
    record = ledger.entry(index).record
    about: dict[str, Any] = {"index": index, "discoverable": on, "file_sha256": record.file_sha256}
    if as_json:
        print_json({"schema": "veilmark.discoverable/1", **about})
        return
    named = clean(record.signer.get("name", ""), 40)
    said = "others may find it" if on else "others do not find it"
    say(f"{index:>6}  {record.relation:<9} {record.file_sha256[:16]}  {named}  {said}")
