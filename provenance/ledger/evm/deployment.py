"""Put the MediaLedger contract on a chain once: resumable, never paid for twice, and remembered.

``data/contracts.json`` says for each chain and account which transaction is out and where the contract lies, so
that an interrupted deployment goes on, and later commands know the contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance import strict_json
from provenance.errors import ChainError, LedgerError
from provenance.home import Home
from provenance.ledger.evm.contract import MediaLedger
from provenance.ledger.evm.records import deploy
from provenance.ledger.evm.rpc import Node, checked_address
from provenance.ledger.evm.state import AnchorStore, sent_from_json, sent_to_json
from provenance.ledger.evm.transact import Mined, Sent
from provenance.media.files import read_limited, write_bytes

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Deployed:
    """A contract that is on the chain.

    Attributes:
        address: where.
        block_number: the block that holds its deployment, or None where it was there already.
    """

    address: str
    block_number: int | None


def deploy_once(
    home: Home,
    node: Node,
    account: LocalAccount,
    *,
    confirmations: int = 1,
    max_fee_gwei: float | None = None,
    again: bool = False,
    progress: Callable[[str], None] | None = None,
    on_address: Callable[[str], None] | None = None,
) -> Deployed:
    """The account's contract on this chain: the one that is there, the one under way, or a new one.

    Waits as long as the confirmations need. Interrupted, it goes on when called again.

    Args:
        confirmations: blocks that settle it, its own included.
        max_fee_gwei: the most that is paid for each unit of gas; above it, it waits or refuses.
        again: deploy another one, even if there is one.
        progress: told in words what is happening.
        on_address: told the contract's address as soon as it is in a block.

    Raises:
        ChainError: out of funds, over the ceiling, or the node fails.
    """
    say = progress or (lambda _: None)
    kept = _Kept(home, node.chain_id, account.address)
    entry = {} if again and not kept.read().get("sent") else kept.read()
    if entry.get("address") and not entry.get("sent"):
        try:
            ledger = MediaLedger.at(node, entry["address"])
        except ChainError:
            say(f"{entry['address']} is not on this chain any more; deploying anew")
        else:
            return Deployed(ledger.address, None)
    told: set[str] = set()

    def mined(found: Mined) -> None:
        address = checked_address(found.contract_address)
        if address not in told:
            told.add(address)
            kept.write(address=address)
            if on_address is not None:
                on_address(address)

    def keep(sent: Sent) -> None:
        kept.write(sent=sent_to_json(sent))

    sent = sent_from_json(entry["sent"]) if entry.get("sent") else None
    if sent is not None:
        say("going on with the deployment that was under way")
    with AnchorStore(home) as store, store.turn():
        ledger, done = deploy(
            node,
            account,
            confirmations=confirmations,
            timeout=None,
            max_fee_gwei=max_fee_gwei,
            progress=say,
            sent=sent,
            keep=keep,
            on_mined=mined,
        )
    kept.write(sent=None, address=ledger.address)
    return Deployed(ledger.address, done.block_number)


def known_contract(home: Home, chain_id: int) -> str | None:
    """The contract that was last deployed from here on this chain, or None."""
    entries = _read_all(home)
    found = [
        one["address"]
        for key, one in entries.items()
        if key.startswith(f"{chain_id}:") and one.get("address")
    ]
    return found[-1] if found else None


class _Kept:
    """One chain's and account's part of the file."""

    def __init__(self, home: Home, chain_id: int, account: str) -> None:
        self._home = home
        self._key = f"{chain_id}:{account}"

    def read(self) -> dict[str, Any]:
        return _read_all(self._home).get(self._key, {})

    def write(self, **changes: Any) -> None:
        entries = _read_all(self._home)
        entry = {**entries.pop(self._key, {}), **changes}
        entries[self._key] = {name: value for name, value in entry.items() if value is not None}
        write_bytes(_path(self._home), json.dumps(entries, indent=1).encode(), mode=0o600)


def _path(home: Home) -> Path:
    return home.data / "contracts.json"


def _read_all(home: Home) -> dict[str, dict[str, Any]]:
    path = _path(home)
    try:
        data = read_limited(path, _MAX_BYTES)
        entries = strict_json.loads(data or b"")
        if not isinstance(entries, dict) or not all(isinstance(one, dict) for one in entries.values()):
            raise ValueError("expected an object of deployments")
        return entries
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"{path} cannot be used: {error}",
            hint="it only remembers deployments; move it aside, and name contracts with --contract",
        ) from error
