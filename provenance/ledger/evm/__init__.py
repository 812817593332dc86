"""The MediaLedger contract on an EVM chain: anchor checkpoints, check anchors, record single statements.

========================  ============================================================================
:mod:`.networks`          chains by name, and the person's settings for them
:mod:`.transport`         one bounded HTTP exchange with a node
:mod:`.rpc`               one JSON-RPC node, bounded and distrusted
:mod:`.proof`             headers, state tries and storage slots; no network
:mod:`.contract`          the contract's calls, storage, errors and events
:mod:`.accounts`          encrypted keystores
:mod:`.fees`              EIP-1559
:mod:`.transact`          sign, send, wait, replace
:mod:`.state`             what this machine remembers of its anchors
:mod:`.anchor`            anchor a checkpoint; idempotent and resumable
:mod:`.claim`             where a checkpoint is anchored, as it travels in a receipt
:mod:`.check`             is a checkpoint anchored, and on whose word
:mod:`.receipts`          the embedded log and its receipts on the chain
:mod:`.records`           deploy, commit, relay, withdraw
========================  ============================================================================

The names below are loaded on first use: web3 is slow to import.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

#: py_ecc, which eth-account brings along, raises Python's recursion limit to 100,000 when it is imported. A
#: deeply nested JSON file, anywhere in the program, would then end it by a segmentation fault instead of a
#: RecursionError, so the modules here that import it put the limit back.
_RECURSION_LIMIT = min(sys.getrecursionlimit(), 10_000)


def restore_recursion_limit() -> None:
    """Undo what importing eth-account did to the recursion limit."""
    sys.setrecursionlimit(min(sys.getrecursionlimit(), _RECURSION_LIMIT))


_HOMES = {
    "AnchorCheck": "check",
    "AnchorClaim": "claim",
    "AnchorKey": "claim",
    "AnchorState": "state",
    "AnchorStatus": "anchor",
    "AnchorStore": "state",
    "Basis": "check",
    "Found": "check",
    "MediaLedger": "contract",
    "Network": "networks",
    "Node": "rpc",
    "Policy": "anchor",
    "anchor_checkpoint": "anchor",
    "anchor_log": "receipts",
    "anchored_receipt": "receipts",
    "check_anchor": "check",
    "check_receipt": "receipts",
    "create_account": "accounts",
    "deploy": "records",
    "find_network": "networks",
    "import_account": "accounts",
    "list_accounts": "accounts",
    "load_account": "accounts",
    "load_networks": "networks",
    "log_id_of": "contract",
    "receipt_checker": "receipts",
    "upgrade_file": "receipts",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
