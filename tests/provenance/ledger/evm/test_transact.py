"""Plain transactions on a real Anvil node: overtaken, forgotten, late, doomed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from provenance.errors import ChainError
from provenance.ledger.evm.contract import MediaLedger, encode_call, log_id_of
from provenance.ledger.evm.records import commit
from provenance.ledger.evm.rpc import Node
from provenance.ledger.evm.transact import Call, transact

pytestmark = pytest.mark.evm

ORIGIN = "example.org/log"
LOG = log_id_of(ORIGIN)


def test_a_plain_transaction_survives_being_overtaken_and_forgotten(
    anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("evm_setIntervalMining", 1)
    said: list[str] = []
    mined = commit(ledger, owner, "cid", "statement", confirmations=2, timeout=30, progress=said.append)
    assert [event.data for event in ledger.commits("cid", owner.address)] == ["statement"]
    assert mined.gas_used < 40_000 and "2 of 2 confirmations" in said[-1]


def test_a_plain_transaction_that_is_not_mined_in_time_says_so(
    anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    started = time.monotonic()
    with pytest.raises(ChainError, match="not settled yet: 0x") as caught:
        commit(ledger, owner, "cid", "statement", timeout=0.5)
    assert time.monotonic() - started < 5 and caught.value.hint


def test_a_call_that_would_fail_is_not_sent(node: Node, ledger: MediaLedger, owner: LocalAccount) -> None:
    before = node.transaction_count(owner.address, "pending")
    bad = Call(ledger.address, encode_call("anchor", LOG, 0, bytes([1]) * 32, bytes(32)))
    with pytest.raises(ChainError, match=r"SizeNotGreater\(anchored 0, given 0\)"):
        transact(node, owner, bad)
    assert node.transaction_count(owner.address, "pending") == before
