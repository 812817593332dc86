"""Which chains are known by name, and what the person configured for them.

No public endpoint is built in: which node to ask is the person's choice, since it learns what is looked up.
``config/networks.json`` adds networks and settles details of known ones::

    {"sepolia": {"rpc": ["https://..."], "contract": "0x...", "confirmations": 5},
     "mychain": {"chain_id": 4242, "rpc": ["http://127.0.0.1:8545"]}}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from provenance import strict_json
from provenance.errors import UsageError
from provenance.home import Home

_MAX_FILE = 256 * 1024


@dataclass(frozen=True)
class Network:
    """A chain.

    Attributes:
        name: how it is called on the command line.
        chain_id: EIP-155 chain id.
        confirmations: blocks, its own included, after which a transaction counts as settled.
        rpc: JSON-RPC endpoints the person configured; none by default except for ``local``.
        contract: address of the MediaLedger the person uses there, or None.
        max_fee_gwei: ceiling for the fee per gas; None for no ceiling.
    """

    name: str
    chain_id: int
    confirmations: int
    rpc: tuple[str, ...] = ()
    contract: str | None = None
    max_fee_gwei: float | None = None


#: Confirmations: Ethereum finalises after two epochs (64 slots); rollups and Polygon have cheaper, faster
#: blocks and settle more of them.
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("ethereum", 1, 64),
        Network("base", 8453, 100),
        Network("polygon", 137, 128),
        Network("sepolia", 11155111, 12),
        Network("local", 31337, 1, rpc=("http://127.0.0.1:8545",)),
    )
}


def load_networks(home: Home) -> dict[str, Network]:
    """Known networks, with what ``config/networks.json`` says about them.

    Raises:
        UsageError: the file cannot be read or holds something else than networks.
    """
    path = home.config / "networks.json"
    if not path.exists():
        return dict(NETWORKS)
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ValueError("too large")
        entries = strict_json.loads(data)
        if not isinstance(entries, dict):
            raise ValueError("expected an object of networks by name")
        networks = dict(NETWORKS)
        for name, entry in entries.items():
            networks[name] = _merge(name, networks.get(name), entry)
        return networks
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be used: {error}",
            hint='expected {"NAME": {"chain_id": 1, "rpc": ["URL"], "contract": "0x...", "confirmations": 12}}',
        ) from error


def find_network(home: Home, name_or_id: str) -> Network:
    """A network by its name or its chain id in decimal.

    Raises:
        UsageError: there is none; the message lists the known names.
    """
    networks = load_networks(home)
    if name_or_id in networks:
        return networks[name_or_id]
    if name_or_id.isdecimal() and len(name_or_id) < 20:
        chain_id = int(name_or_id)
        known = [network for network in networks.values() if network.chain_id == chain_id]
        return known[0] if known else Network(f"chain {chain_id}", chain_id, 12)
    raise UsageError(
        f"no network is called {name_or_id[:60]!r}",
        hint=f"known: {', '.join(sorted(networks))}; or give a chain id, or add it to networks.json",
    )


def _merge(name: str, known: Network | None, entry: Any) -> Network:
    if not isinstance(entry, dict) or not set(entry) <= {
        "chain_id",
        "confirmations",
        "rpc",
        "contract",
        "max_fee_gwei",
    }:
        raise ValueError(f"network {name!r} has unknown fields")
    base = known or Network(name, _number(name, entry, "chain_id"), 12)
    changes: dict[str, Any] = {}
    for field in ("chain_id", "confirmations"):
        if field in entry:
            changes[field] = _number(name, entry, field)
    rpc = entry.get("rpc", list(base.rpc))
    rpc = [rpc] if isinstance(rpc, str) else rpc
    contract = entry.get("contract", base.contract)
    ceiling = entry.get("max_fee_gwei", base.max_fee_gwei)
    if not isinstance(rpc, list) or not all(isinstance(url, str) for url in rpc):
        raise ValueError(f"network {name!r}: rpc is not a list of URLs")
    if not isinstance(contract, str | None):
        raise ValueError(f"network {name!r}: contract is not an address")
    if isinstance(ceiling, bool) or not isinstance(ceiling, int | float | None):
        raise ValueError(f"network {name!r}: max_fee_gwei is not a number")
    return replace(base, rpc=tuple(rpc), contract=contract, max_fee_gwei=ceiling, **changes)


def _number(name: str, entry: dict[str, Any], field: str) -> int:
    value = entry.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError(f"network {name!r}: {field} is not a positive whole number")
    return value
