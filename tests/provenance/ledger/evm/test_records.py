"""Single statements on a real node: deploy, commit, relay, withdraw, make findable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

import contracts
from provenance.errors import ChainError, ReceiptError, TamperedError, UsageError
from provenance.ledger.evm.contract import MediaLedger, event_topic
from provenance.ledger.evm.records import (
    Signed,
    commit,
    commit_batch,
    deploy,
    publish_soft_binding,
    relay,
    sign_for_relay,
    withdraw,
)
from provenance.ledger.evm.rpc import Node

pytestmark = pytest.mark.evm
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.fixture
def camera() -> LocalAccount:
    """Signs, and owns no ether."""
    return Account.from_key(keccak(text="a camera"))


def signed(ledger: MediaLedger, camera: LocalAccount, kind: str = "Commit", **options: Any) -> Signed:
    values = {"chain_id": 31337, "contract": ledger.address, "cid": CID, "text": "seen", **options}
    return sign_for_relay(camera, kind, **values)


def test_deploy(node: Node, owner: LocalAccount) -> None:
    ledger, mined = deploy(node, owner)
    assert node.code(ledger.address) == contracts.media_ledger().runtime_bytecode
    assert mined.gas_used < 1_600_000
    assert MediaLedger.at(node, ledger.address.lower()).address == ledger.address


def test_commit_and_withdraw(ledger: MediaLedger, owner: LocalAccount) -> None:
    first = commit(ledger, owner, CID, "seen in Rome")
    commit(ledger, owner, CID, "seen again")
    commit(ledger, owner, "another", "not this")
    found = ledger.commits(CID)
    assert [(event.recorder, event.data) for event in found] == [
        (owner.address, "seen in Rome"),
        (owner.address, "seen again"),
    ]
    assert (found[0].block_number, found[0].transaction_hash) == (first.block_number, first.transaction_hash)
    assert ledger.withdrawal(owner.address, CID) is None
    withdrawn = withdraw(ledger, owner, CID, "the date was wrong")
    block, _ = ledger.withdrawal(owner.address, CID) or (0, 0)
    assert block == withdrawn.block_number and len(ledger.commits(CID)) == 2
    with pytest.raises(ChainError, match="AlreadyWithdrawn"):
        withdraw(ledger, owner, CID, "again")


def test_a_camera_without_ether(ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount) -> None:
    statement = signed(ledger, camera)
    relay(ledger, owner, statement)
    assert [event.recorder for event in ledger.commits(CID)] == [camera.address]
    assert ledger.commits(CID, owner.address) == []
    with pytest.raises(ChainError, match="NonceUsed"):
        relay(ledger, owner, statement)
    relay(ledger, owner, signed(ledger, camera, "Withdraw", text="stolen"))
    assert ledger.withdrawal(camera.address, CID) and not ledger.withdrawal(owner.address, CID)


@pytest.mark.parametrize(
    "change",
    [{"text": "something else"}, {"cid": "other"}, {"nonce": 5}, {"deadline": 2**40}, {"kind": "Withdraw"}],
)
def test_what_was_signed_cannot_be_changed(
    ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount, change: dict[str, Any]
) -> None:
    with pytest.raises(TamperedError, match="signed by"):
        relay(ledger, owner, replace(signed(ledger, camera, nonce=4), **change))


def test_a_signature_counts_in_one_place(
    ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount
) -> None:
    for elsewhere in ({"chain_id": 1}, {"contract": "0x" + "11" * 20}):
        with pytest.raises(ChainError, match="signed for contract"):
            relay(ledger, owner, signed(ledger, camera, **elsewhere))
    with pytest.raises(TamperedError, match="malformed"):
        relay(ledger, owner, replace(signed(ledger, camera), signature=b"short"))


def test_an_expired_signature(ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount) -> None:
    with pytest.raises(ChainError, match="SignatureExpired"):
        relay(ledger, owner, signed(ledger, camera, valid_seconds=-1000))


def test_a_batch(node: Node, ledger: MediaLedger, owner: LocalAccount) -> None:
    root = hashlib.sha256(b"root").digest()
    mined = commit_batch(ledger, owner, root, 1000, bytes(32))
    assert mined.gas_used / 1000 < 55
    with pytest.raises(ChainError, match="BatchExists"):
        commit_batch(ledger, owner, root, 1000, bytes(32))


def test_a_soft_binding_is_public_only_on_request(
    node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    values: dict[str, Any] = {
        "algorithm": "com.example.pdq.1",
        "value": "2NjY",
        "endpoints": ["https://example.org/v1"],
        "manifest_id": "urn:c2pa:1",
    }
    with pytest.raises(UsageError, match="can never be taken back"):
        publish_soft_binding(ledger, owner, **values)
    assert node.transaction_count(owner.address) == 1, "the deployment only"
    publish_soft_binding(ledger, owner, **values, public_for_ever=True)
    topics = ["0x" + event_topic("SoftBinding").hex(), "0x" + keccak(text="2NjY").hex()]
    (event,) = node.logs(ledger.address, topics, 0, node.latest().number)
    assert json.loads(event["data"][64:].rstrip(b"\0")) == {
        "endpoints": ["https://example.org/v1"],
        "manifestId": "urn:c2pa:1",
    }


def test_texts_over_the_limits_are_refused_before_sending(
    ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount
) -> None:
    with pytest.raises(UsageError, match="at most 128"):
        commit(ledger, owner, "c" * 129, "")
    with pytest.raises(UsageError, match="at most 2048"):
        commit(ledger, owner, CID, "ä" * 1025)
    with pytest.raises(UsageError, match="at most 256"):
        withdraw(ledger, owner, CID, "r" * 257)
    with pytest.raises(UsageError, match="cannot be relayed"):
        signed(ledger, camera, "Anchor")


def test_a_signed_statement_travels_as_json(
    ledger: MediaLedger, owner: LocalAccount, camera: LocalAccount
) -> None:
    statement = signed(ledger, camera, nonce=2**256 - 1)
    received = Signed.from_json(json.loads(json.dumps(statement.to_json())))
    assert received == statement
    relay(ledger, owner, received)
    assert [event.data for event in ledger.commits(CID, camera.address)] == ["seen"]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "x"},
        {"kind": "Anchor"},
        {"nonce": "-1"},
        {"nonce": 5},
        {"nonce": str(2**256)},
        {"deadline": "tomorrow"},
        {"signature": "00"},
        {"recorder": "0x1"},
        {"text": None},
        {"cid": "x" * 5000},
        {"chain_id": "1"},
    ],
)
def test_malformed_statements_are_refused(camera: LocalAccount, change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"chain_id": 1, "contract": "0x" + "11" * 20, "cid": CID, "text": "seen"}
    data = sign_for_relay(camera, "Commit", **values).to_json()
    with pytest.raises(ReceiptError, match="not a signed statement"):
        Signed.from_json({**data, **change})
    with pytest.raises(ReceiptError):
        Signed.from_json([])
