"""One file with whom and what to trust: a newsroom writes it, a colleague adds it in one command.

It holds roots, log keys, witnesses, contracts and revocations, and proves nothing by itself: whoever adds it compares
its SHA-256 with what the newsroom says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provenance import strict_json
from provenance.errors import CheckError, TamperedError, UsageError
from provenance.identity.certificates import printable
from provenance.trust.entries import ANCHOR_KINDS, parse_anchor, parse_contract, parse_vkey
from provenance.trust.revocation import parse_revocation
from provenance.trust.store import TrustStore

SCHEMA = "veilmark.trust-file/1"
MAX_BYTES = 2 * 1024 * 1024
MAX_ITEMS = 500
_PURPOSES = {kind: purpose for purpose, kind in ANCHOR_KINDS.items()}
_KEYS = ("log", "witness")


@dataclass(frozen=True)
class Item:
    """One thing to trust: its kind, its name where it comes from, and its text."""

    kind: str
    name: str
    text: str


def export_trust(store: TrustStore, names: Sequence[str] = ()) -> str:
    """The trust file of a store: everything but published lists, or the entries of these names.

    Raises:
        UsageError: a name is not there, or nothing is there.
    """
    items = [
        Item(kind, name, text)
        for purpose, kind in ANCHOR_KINDS.items()
        for name, text in store.own_anchors[purpose].items()
    ]
    items += [Item("log", name, text) for name, text in store.log_keys.items()]
    items += [Item("witness", name, text) for name, text in store.witnesses.items()]
    for one in store.contracts:
        body = {"chain_id": one.chain_id, "address": one.address, "log_owner": one.log_owner}
        items.append(Item("contract", one.name, json.dumps(body)))
    items += [Item("revocation", "revocation", text) for text in store.revocations]
    known = {one.name for one in items}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"no entry named {printable(unknown[0], 80)!r} that a trust file can hold",
            hint="see `veilmark trust list`; published lists are added by everybody from their publisher",
        )
    chosen = [one for one in items if not names or one.name in names]
    if not chosen:
        raise UsageError(
            "there is nothing to export", hint="run `veilmark init`, or add what you trust first"
        )
    return json.dumps({"schema": SCHEMA, "items": [vars(one) for one in chosen]}, indent=1) + "\n"


def parse_trust_file(text: str) -> list[Item]:
    """Read and check a trust file whole, before anything of it is trusted.

    Raises:
        UsageError: no trust file, over the limits, or one of its items is damaged.
    """
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(f"the trust file is over the limit of {MAX_BYTES} bytes")
    try:
        body: dict[str, Any] = strict_json.loads(text)
        if body["schema"] != SCHEMA or not 0 < len(body["items"]) <= MAX_ITEMS:
            raise ValueError("unknown schema, or a wrong number of items")
        items = [Item(str(one["kind"]), str(one["name"]), str(one["text"])) for one in body["items"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"no trust file: {printable(str(error), 120)}", hint="`veilmark trust export` writes one"
        ) from error
    for one in items:
        _check(one)
    return items


def add_items(store: TrustStore, items: Sequence[Item]) -> list[tuple[str, str]]:
    """Trust what a trust file holds; ``(kind, entry name)`` of each."""
    added = []
    for one in items:
        if one.kind in _PURPOSES:
            name = store.add_anchor(one.text, one.name, _PURPOSES[one.kind])
        elif one.kind == "log":
            name = store.add_log_key(one.text, one.name)
        elif one.kind == "witness":
            name = store.add_witness(one.text, one.name)
        elif one.kind == "contract":
            contract = parse_contract(one.name, one.text)
            name = store.add_contract(contract.chain_id, contract.address, contract.log_owner, one.name)
        else:
            name = store.add_revocation(one.text, one.name)
        added.append((one.kind, name))
    return added


def _check(item: Item) -> None:
    if item.kind in _PURPOSES:
        parse_anchor(item.text, item.name)
    elif item.kind in _KEYS:
        parse_vkey(item.text)
    elif item.kind == "contract":
        parse_contract(item.name, item.text)
    elif item.kind == "revocation":
        try:
            parse_revocation(item.text)
        except (CheckError, TamperedError) as error:
            raise UsageError(f"a revocation in the trust file does not verify: {error}") from error
    else:
        raise UsageError(f"the trust file holds something of an unknown kind, {printable(item.kind, 40)!r}")
