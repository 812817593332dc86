"""Deploying once: as long as it takes, the address early, interrupted and gone on with, paid for once."""

from __future__ import annotations

import stat
import threading
import time

import pytest
from eth_account.signers.local import LocalAccount

from provenance.errors import ChainError
from provenance.home import Home
from provenance.ledger.evm.deployment import deploy_once, known_contract
from provenance.ledger.evm.rpc import Node
from tests.provenance.ledger.evm.conftest import Anvil

pytestmark = pytest.mark.evm


def test_it_waits_for_its_confirmations_and_tells_the_address_early(
    home: Home, node: Node, owner: LocalAccount, anvil: Anvil
) -> None:
    said: list[str] = []
    addresses: list[str] = []
    done = threading.Event()

    def mine() -> None:
        while not done.is_set():
            if addresses:
                anvil.mine(7)
            time.sleep(0.02)

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        made = deploy_once(
            home, node, owner, confirmations=64, progress=said.append, on_address=addresses.append
        )
    finally:
        done.set()
        miner.join()
    assert addresses == [made.address]
    first, last = (next(line for line in lines if "of 64" in line) for lines in (said, said[::-1]))
    assert ", 1 of 64" in first and ", 64 of 64" in last
    assert len(said) == len(dict.fromkeys(said)), "nothing is said twice"


def test_interrupted_it_goes_on_and_pays_once(
    home: Home, node: Node, owner: LocalAccount, anvil: Anvil
) -> None:
    def interrupt(address: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy_once(home, node, owner, confirmations=3, on_address=interrupt)
    anvil.mine(3)
    said: list[str] = []
    made = deploy_once(home, node, owner, confirmations=3, progress=said.append)
    assert "going on" in said[0]
    assert node.transaction_count(owner.address) == 1
    assert known_contract(home, 31337) == made.address
    again = deploy_once(home, node, owner, confirmations=3)
    assert (again.address, again.block_number) == (made.address, None)
    assert node.transaction_count(owner.address) == 1, "a rerun does not pay again"
    file = home.data / "contracts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = deploy_once(home, node, owner, again=True)
    assert other.address != made.address


def test_the_ceiling_of_the_fee_is_kept(home: Home, node: Node, owner: LocalAccount) -> None:
    with pytest.raises(ChainError, match=r"over the ceiling of 0\.1"):
        deploy_once(home, node, owner, max_fee_gwei=0.1)
    assert node.transaction_count(owner.address, "pending") == 0
    made = deploy_once(home, node, owner, max_fee_gwei=3)
    assert known_contract(home, 31337) == made.address


def test_a_contract_of_a_chain_that_began_anew_is_deployed_anew(
    home: Home, node: Node, owner: LocalAccount, anvil: Anvil
) -> None:
    made = deploy_once(home, node, owner)
    anvil.rpc("anvil_setCode", made.address, "0x")
    said: list[str] = []
    other = deploy_once(home, node, owner, progress=said.append)
    assert other.address != made.address and "not on this chain any more" in said[0]
