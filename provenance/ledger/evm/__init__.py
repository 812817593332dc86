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

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports
from provenance.ledger.evm import recursion as recursion  # before any module here imports eth-account

if TYPE_CHECKING:
    from provenance.ledger.evm.accounts import create_account as create_account
    from provenance.ledger.evm.accounts import import_account as import_account
    from provenance.ledger.evm.accounts import list_accounts as list_accounts
    from provenance.ledger.evm.accounts import load_account as load_account
    from provenance.ledger.evm.anchor import AnchorPolicy as AnchorPolicy
    from provenance.ledger.evm.anchor import AnchorStatus as AnchorStatus
    from provenance.ledger.evm.anchor import anchor_checkpoint as anchor_checkpoint
    from provenance.ledger.evm.check import AnchorCheck as AnchorCheck
    from provenance.ledger.evm.check import Basis as Basis
    from provenance.ledger.evm.check import Found as Found
    from provenance.ledger.evm.check import check_anchor as check_anchor
    from provenance.ledger.evm.claim import AnchorClaim as AnchorClaim
    from provenance.ledger.evm.claim import AnchorKey as AnchorKey
    from provenance.ledger.evm.contract import MediaLedger as MediaLedger
    from provenance.ledger.evm.contract import log_id_of as log_id_of
    from provenance.ledger.evm.networks import Network as Network
    from provenance.ledger.evm.networks import find_network as find_network
    from provenance.ledger.evm.networks import load_networks as load_networks
    from provenance.ledger.evm.receipts import anchor_log as anchor_log
    from provenance.ledger.evm.receipts import anchored_receipt as anchored_receipt
    from provenance.ledger.evm.receipts import check_receipt as check_receipt
    from provenance.ledger.evm.receipts import receipt_checker as receipt_checker
    from provenance.ledger.evm.receipts import upgrade_file as upgrade_file
    from provenance.ledger.evm.records import Signed as Signed
    from provenance.ledger.evm.records import commit as commit
    from provenance.ledger.evm.records import commit_batch as commit_batch
    from provenance.ledger.evm.records import deploy as deploy
    from provenance.ledger.evm.records import publish_soft_binding as publish_soft_binding
    from provenance.ledger.evm.records import relay as relay
    from provenance.ledger.evm.records import sign_for_relay as sign_for_relay
    from provenance.ledger.evm.records import withdraw as withdraw
    from provenance.ledger.evm.rpc import Node as Node
    from provenance.ledger.evm.state import AnchorState as AnchorState
    from provenance.ledger.evm.state import AnchorStore as AnchorStore

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AnchorCheck": "provenance.ledger.evm.check",
        "AnchorClaim": "provenance.ledger.evm.claim",
        "AnchorKey": "provenance.ledger.evm.claim",
        "AnchorPolicy": "provenance.ledger.evm.anchor",
        "AnchorState": "provenance.ledger.evm.state",
        "AnchorStatus": "provenance.ledger.evm.anchor",
        "AnchorStore": "provenance.ledger.evm.state",
        "Basis": "provenance.ledger.evm.check",
        "Found": "provenance.ledger.evm.check",
        "MediaLedger": "provenance.ledger.evm.contract",
        "Network": "provenance.ledger.evm.networks",
        "Node": "provenance.ledger.evm.rpc",
        "Signed": "provenance.ledger.evm.records",
        "anchor_checkpoint": "provenance.ledger.evm.anchor",
        "anchor_log": "provenance.ledger.evm.receipts",
        "anchored_receipt": "provenance.ledger.evm.receipts",
        "check_anchor": "provenance.ledger.evm.check",
        "check_receipt": "provenance.ledger.evm.receipts",
        "commit": "provenance.ledger.evm.records",
        "commit_batch": "provenance.ledger.evm.records",
        "create_account": "provenance.ledger.evm.accounts",
        "deploy": "provenance.ledger.evm.records",
        "find_network": "provenance.ledger.evm.networks",
        "import_account": "provenance.ledger.evm.accounts",
        "list_accounts": "provenance.ledger.evm.accounts",
        "load_account": "provenance.ledger.evm.accounts",
        "load_networks": "provenance.ledger.evm.networks",
        "log_id_of": "provenance.ledger.evm.contract",
        "publish_soft_binding": "provenance.ledger.evm.records",
        "receipt_checker": "provenance.ledger.evm.receipts",
        "relay": "provenance.ledger.evm.records",
        "sign_for_relay": "provenance.ledger.evm.records",
        "upgrade_file": "provenance.ledger.evm.receipts",
        "withdraw": "provenance.ledger.evm.records",
    },
)
