"""``veilmark trust add``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import clean, note
from provenance.commands.support.paths import read_text
from provenance.commands.trust.group import app, show_added
from provenance.errors import MissingPathError, UsageError
from provenance.home import Home
from provenance.trust.anchors import Purpose

if TYPE_CHECKING:
    from provenance.trust.store import TrustStore

_OPTIONS = (
    "--anchor, --time-stamp-anchor, --identity-anchor, --list, --log, --witness, --contract, --revocation, "
    "--file"
)


@app.command("add")
def add(
    anchor: Annotated[
        Path | None, typer.Option("--anchor", help="Certificate authorities of signers (PEM file).")
    ] = None,
    time_stamp_anchor: Annotated[
        Path | None,
        typer.Option("--time-stamp-anchor", help="Certificate authorities of time stamps (PEM file)."),
    ] = None,
    identity_anchor: Annotated[
        Path | None,
        typer.Option("--identity-anchor", help="Certificate authorities of CAWG identities (PEM file)."),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option("--list", help="A published trust list: a file, or c2pa for the C2PA's lists."),
    ] = None,
    purpose: Annotated[
        Purpose | None,
        typer.Option("--for", help="What a list is for. Default: as the list says, else signers."),
    ] = None,
    url: Annotated[
        str, typer.Option("--url", help="Where newer issues of the list are published (https).")
    ] = "",
    log: Annotated[
        str | None, typer.Option("--log", help="A ledger, by its verifier key (name+id+key).")
    ] = None,
    witness: Annotated[
        str | None, typer.Option("--witness", help="A witness, by its verifier key (name+id+key).")
    ] = None,
    contract: Annotated[
        str | None, typer.Option("--contract", help="An on-chain ledger: CHAIN_ID:ADDRESS:LOG_OWNER.")
    ] = None,
    revocation: Annotated[
        Path | None,
        typer.Option("--revocation", help="A revocation statement: a key no longer to be trusted."),
    ] = None,
    trust_file: Annotated[
        Path | None,
        typer.Option("--file", help="All that a trust file holds (`veilmark trust export` writes one)."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="How the entry is called here.")] = "",
) -> None:
    """Trust something from now on. Compare what is printed with what its owner says, over another channel."""
    from provenance.trust.store import TrustStore

    given = (
        anchor,
        time_stamp_anchor,
        identity_anchor,
        published,
        log,
        witness,
        contract,
        revocation,
        trust_file,
    )
    if sum(value is not None for value in given) != 1:
        raise UsageError(
            f"give exactly one of {_OPTIONS}", hint="for example: veilmark trust add --anchor root.pem"
        )
    if (purpose or url) and not published:
        raise UsageError("--for and --url are about a --list")
    store = TrustStore.load(Home.locate())
    added: list[tuple[str, str]]
    anchors = {
        Purpose.SIGNERS: anchor,
        Purpose.TIME_STAMPS: time_stamp_anchor,
        Purpose.IDENTITIES: identity_anchor,
    }
    if published:
        added = _add_lists(store, published, name, purpose, url)
    elif trust_file:
        added = _add_file(store, trust_file)
    elif log:
        added = [("log", store.add_log_key(log, name))]
    elif witness:
        added = [("witness", store.add_witness(witness, name))]
    elif contract:
        added = [("contract", _add_contract(store, contract, name))]
    elif revocation:
        from provenance.trust.revocation import parse_revocation

        statement = read_text(revocation)
        parse_revocation(statement)
        added = [("revocation", store.add_revocation(statement, name))]
    else:
        from provenance.trust.entries import ANCHOR_KINDS

        use, path = next((use, path) for use, path in anchors.items() if path)
        added = [(ANCHOR_KINDS[use], store.add_anchor(read_text(path), name, use))]
    entries = {(one.kind, one.name): one for one in store.entries()}
    for key in dict.fromkeys(added):
        show_added(entries[key])


def _add_lists(
    store: TrustStore, published: str, name: str, purpose: Purpose | None, url: str
) -> list[tuple[str, str]]:
    from provenance.trust.shipped import SHIPPED
    from provenance.trust.update import require_https

    if url:
        require_https(url)
    if published in SHIPPED and not Path(published).exists():
        if name or purpose or url:
            raise UsageError(f"{published} stands for lists whose names, uses and addresses are known")
        added = []
        for one in SHIPPED[published]:
            stored = store.add_list(one.text(), one.name, purpose=one.purpose, url=one.url)
            note(
                f"{stored.parsed.title}, by {stored.parsed.operator}, {one.licence}; `veilmark trust update` gets the "
                "present issue"
            )
            added.append(("list", stored.name))
        return added
    path = Path(published)
    if not path.is_file():
        known = ", ".join(SHIPPED)
        raise MissingPathError(
            f"{clean(published, 200)} is no file and no known list", hint=f"known: {known}"
        )
    stored = store.add_list(read_text(path), name or path.stem, purpose=purpose, url=url)
    return [("list", stored.name)]


def _add_file(store: TrustStore, path: Path) -> list[tuple[str, str]]:
    from provenance.trust.trust_file import add_items, parse_trust_file

    text = read_text(path)
    items = parse_trust_file(text)
    note(
        f"trust file SHA-256 {hashlib.sha256(text.encode()).hexdigest()}; compare it with what its maker says"
    )
    return add_items(store, items)


def _add_contract(store: TrustStore, contract: str, name: str) -> str:
    parts = contract.split(":")
    if len(parts) != 3 or not parts[0].isdecimal():
        raise UsageError(f"{contract[:80]!r} is not CHAIN_ID:ADDRESS:LOG_OWNER")
    return store.add_contract(int(parts[0]), parts[1], parts[2], name)
