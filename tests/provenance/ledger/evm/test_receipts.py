"""From the embedded log to a stranger's verdict: anchor, upgrade the receipt, check it somewhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from provenance.errors import ChainError, ForkError, TamperedError, UsageError
from provenance.home import Home
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.evm.anchor import AnchorPolicy
from provenance.ledger.evm.check import Basis, Found
from provenance.ledger.evm.contract import MediaLedger, log_id_of
from provenance.ledger.evm.receipts import (
    anchor_log,
    anchored_receipt,
    check_receipt,
    receipt_checker,
    require_same_history,
    upgrade_file,
)
from provenance.ledger.evm.rpc import Node
from provenance.ledger.evm.state import AnchorState
from provenance.ledger.receipt import Receipt
from provenance.trust.store import TrustStore
from provenance.verdict import LedgerStatus
from tests.support.records import make_openings

pytestmark = pytest.mark.evm
ORIGIN = "example.org/log"


@pytest.fixture
def log(home: Home) -> Any:
    with LocalLedger.create(home.ledger, origin=ORIGIN) as log:
        yield log


@pytest.fixture
def stranger(tmp_path: Path, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount) -> TrustStore:
    """A fresh machine: nothing but a trust store with log key, chain id, contract address and log owner."""
    machine = Home(data=tmp_path / "stranger" / "data", config=tmp_path / "stranger" / "config")
    trust = TrustStore.load(machine)
    trust.add_log_key(log.log_key)
    trust.add_contract(31337, ledger.address.lower(), owner.address.lower())
    return TrustStore.load(machine)


def test_the_whole_way(
    home: Home,
    anvil: Any,
    node: Node,
    log: LocalLedger,
    ledger: MediaLedger,
    owner: LocalAccount,
    stranger: TrustStore,
    tmp_path: Path,
) -> None:
    receipts = log.append(make_openings(5))
    path = tmp_path / "photo.jpg.receipt"
    path.write_bytes(receipts[2].to_bytes())
    assert upgrade_file(home, log, path) is False, "nothing is anchored yet"

    status = anchor_log(home, log, ledger, owner)
    assert status.state is AnchorState.CONFIRMED
    log.append(make_openings(3, start=5))
    assert upgrade_file(home, log, path) is True
    assert upgrade_file(home, log, path) is False, "once is enough"

    # somewhere else: the file's receipt, the trust store, and a node or a block hash
    receipt = Receipt.from_bytes(path.read_bytes())
    receipt.verify(stranger.log_keys.values())
    assert receipt.checkpoint.size == 5
    check = check_receipt(receipt, stranger.contracts, rpc=[anvil.url])
    assert (check.found, check.basis, check.block_number) == (
        Found.ANCHORED,
        Basis.ONE_NODE,
        status.block_number,
    )
    assert status.claim is not None
    offline = check_receipt(receipt, stranger.contracts, trusted_block_hash=status.claim.block_hash)
    assert (offline.found, offline.basis) == (Found.ANCHORED, Basis.TRUSTED_BLOCK)


def test_standings_for_the_verdict(
    home: Home,
    anvil: Any,
    liar: Callable[..., str],
    log: LocalLedger,
    ledger: MediaLedger,
    owner: LocalAccount,
    stranger: TrustStore,
) -> None:
    (receipt,) = log.append(make_openings(1))
    known = stranger.contracts
    finding = receipt_checker(known, rpc=[anvil.url])(receipt)
    assert finding.status is LedgerStatus.LOGGED and "not anchored on chain 31337" in finding.detail

    anvil.mine(5)
    anchor_log(home, log, ledger, owner)
    anchored = anchored_receipt(home, log, 0)
    assert anchored is not None
    second = liar(anvil.url, lambda method, params, answer: answer)
    cases: list[tuple[dict[str, Any], LedgerStatus]] = [
        ({"rpc": [anvil.url]}, LedgerStatus.ANCHORED_BY_RPC),
        ({"rpc": [anvil.url, second]}, LedgerStatus.ANCHORED),
        ({"rpc": [anvil.url], "confirmations": 4}, LedgerStatus.PENDING),
        ({"rpc": ["http://127.0.0.1:9"]}, LedgerStatus.ANCHOR_NOT_CHECKED),
        ({}, LedgerStatus.ANCHOR_NOT_CHECKED),
    ]
    for options, expected in cases:
        finding = receipt_checker(known, **options)(anchored)
        assert finding.status is expected, options
        assert bool(finding.time) is (expected in (LedgerStatus.ANCHORED, LedgerStatus.ANCHORED_BY_RPC))
    finding = receipt_checker([], rpc=[anvil.url])(anchored)
    assert finding.status is LedgerStatus.ANCHOR_NOT_CHECKED and "does not know" in finding.detail
    unreadable = replace(anchored, anchors=({"type": "veilmark.anchor/1", "size": "x"},))
    assert receipt_checker(known, rpc=[anvil.url])(unreadable).status is LedgerStatus.ANCHORED_BY_RPC
    # without an upgraded receipt, a trusted contract and a node are enough
    assert receipt_checker(known, rpc=[anvil.url])(receipt).status is LedgerStatus.ANCHORED_BY_RPC


def test_trust_comes_from_the_store_and_not_from_the_receipt(
    home: Home,
    anvil: Any,
    log: LocalLedger,
    ledger: MediaLedger,
    owner: LocalAccount,
    tmp_path: Path,
) -> None:
    log.append(make_openings(1))
    anchor_log(home, log, ledger, owner)
    receipt = anchored_receipt(home, log, 0)
    assert receipt is not None
    trust = TrustStore.load(Home(data=tmp_path / "x", config=tmp_path / "x"))
    trust.add_contract(31337, ledger.address, "0x" + "11" * 20)
    with pytest.raises(ChainError, match="your trust store does not know") as caught:
        check_receipt(receipt, trust.contracts, rpc=[anvil.url])
    assert "veilmark trust add" in caught.value.hint
    with pytest.raises(ChainError, match="no on-chain ledger is trusted"):
        check_receipt(log.receipt(0), [], rpc=[anvil.url])


def test_an_anchor_under_way_is_finished_before_a_newer_one_is_begun(
    home: Home, anvil: Any, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount
) -> None:
    log.append(make_openings(2))
    anvil.rpc("evm_setAutomine", False)
    assert anchor_log(home, log, ledger, owner, wait=False).state is AnchorState.PENDING
    log.append(make_openings(2, start=2))
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    first = anchor_log(home, log, ledger, owner)
    second = anchor_log(home, log, ledger, owner)
    third = anchor_log(home, log, ledger, owner)
    assert [status.key.size for status in (first, second, third)] == [2, 4, 4]
    assert ledger.head(owner.address, log_id_of(ORIGIN)).count == 2
    sizes = [anchored_receipt(home, log, index).checkpoint.size for index in range(4)]  # type: ignore[union-attr]
    assert sizes == [2, 2, 4, 4], "each entry takes the earliest anchor that covers it"


def test_a_reorganisation_takes_the_anchor_back(
    home: Home, anvil: Any, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount
) -> None:
    log.append(make_openings(2))
    anvil.mine(2)
    anchor_log(home, log, ledger, owner)
    assert anchored_receipt(home, log, 0) is not None
    anvil.rpc("anvil_reorg", 1, [])
    assert anchor_log(home, log, ledger, owner, wait=False).state is AnchorState.PENDING
    assert anchored_receipt(home, log, 0) is None
    anvil.mine()
    assert anchor_log(home, log, ledger, owner).state is AnchorState.CONFIRMED
    assert anchored_receipt(home, log, 0) is not None


def test_an_old_copy_of_the_ledger_is_not_anchored(
    home: Home, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount, tmp_path: Path
) -> None:
    log.append(make_openings(2))
    anchor_log(home, log, ledger, owner)
    old = tmp_path / "old"
    shutil.copytree(home.data, old)
    log.append(make_openings(2, start=2))
    anchor_log(home, log, ledger, owner)
    with LocalLedger.open(old / home.ledger.name) as restored:
        with pytest.raises(ForkError, match=r"4 entries of .* are anchored, but this ledger has 2"):
            require_same_history(restored, ledger, owner.address)
        with pytest.raises(ForkError):
            anchor_log(Home(data=old, config=old), restored, ledger, owner)


def test_another_history_under_the_same_name_is_evidence(
    home: Home,
    anvil: Any,
    log: LocalLedger,
    ledger: MediaLedger,
    owner: LocalAccount,
    tmp_path: Path,
    stranger: TrustStore,
) -> None:
    log.append(make_openings(3))
    receipt = log.receipt(0)
    forged_home = Home(data=tmp_path / "forged", config=tmp_path / "forged")
    with LocalLedger.create(forged_home.ledger, origin=ORIGIN) as forged:
        forged.append(make_openings(3, seed="forged"))
        anchor_log(forged_home, forged, ledger, owner)
    with pytest.raises(ForkError, match="are not the ones that were anchored"):
        anchor_log(home, log, ledger, owner)
    with pytest.raises(TamperedError, match="another root for size 3"):
        receipt_checker(stranger.contracts, rpc=[anvil.url])(receipt)


def test_an_empty_ledger_and_foreign_receipts(
    home: Home, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="the ledger is empty"):
        anchor_log(home, log, ledger, owner)
    other_home = Home(data=tmp_path / "other", config=tmp_path / "other")
    with LocalLedger.create(other_home.ledger, origin="example.org/other") as other:
        (receipt,) = other.append(make_openings(1))
    path = tmp_path / "other.receipt"
    path.write_bytes(receipt.to_bytes())
    with pytest.raises(UsageError, match="not a receipt of this ledger"):
        upgrade_file(home, log, path)


def test_confirmations_are_a_setting(
    home: Home, anvil: Any, log: LocalLedger, ledger: MediaLedger, owner: LocalAccount
) -> None:
    log.append(make_openings(1))
    policy = AnchorPolicy(confirmations=3)
    anchor_log(home, log, ledger, owner, policy=policy, wait=False)
    assert anchor_log(home, log, ledger, owner, policy=policy, wait=False).state is AnchorState.MINED
    assert anchored_receipt(home, log, 0) is None
    anvil.mine(2)
    assert anchor_log(home, log, ledger, owner, policy=policy).state is AnchorState.CONFIRMED
    assert anchored_receipt(home, log, 0) is not None
