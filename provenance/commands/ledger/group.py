"""The ``ledger`` group and what its commands share: options, the own log, receipts, the verifier's policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.console import clean, print_json, say
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.log import Log
    from provenance.ledger.note import Note
    from provenance.ledger.policy import Policy
    from provenance.ledger.receipt import Receipt

app = typer.Typer(help="The log behind the records: state, receipts, audits, anchors.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]


@contextmanager
def own_ledger() -> Iterator[Log]:
    """This machine's ledger; NotInitializedError where there is none."""
    from provenance.ledger.opening import open_ledger

    home = Home.locate()
    home.require_initialized()
    with open_ledger(home) as ledger:
        yield ledger


def read_receipt(path: Path) -> Receipt:
    from provenance.ledger.receipt import MAX_RECEIPT_BYTES, Receipt
    from provenance.media.files import read_companion

    return Receipt.from_bytes(read_companion(path, MAX_RECEIPT_BYTES))


def read_checkpoint(path: Path) -> Note:
    """The checkpoint in a file: a signed note, or a receipt that holds one; ReceiptError when it is neither."""
    from provenance.ledger.note import Note
    from provenance.ledger.receipt import FIRST_LINE, MAX_RECEIPT_BYTES, Receipt
    from provenance.media.files import read_companion

    data = read_companion(path, MAX_RECEIPT_BYTES)
    return Receipt.from_bytes(data).note if data.startswith(FIRST_LINE.encode()) else Note.parse(data)


def own_policy() -> Policy:
    """The verifier's own trust: its logs, and its witnesses without a quorum."""
    from provenance.ledger.policy import Policy
    from provenance.trust.store import TrustStore

    trust = TrustStore.load(Home.locate())
    return Policy.of_witnesses(trust.log_keys.values(), trust.witnesses.values(), 0)


def print_values(about: dict[str, Any], schema: str, as_json: bool) -> None:
    if as_json:
        print_json({"schema": schema, **about})
        return
    for label, value in about.items():
        if value is not None:
            say(f"{label.replace('_', ' '):<14}{clean(str(value))}")
