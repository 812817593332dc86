"""Is it anchored? What the answer rests on, and nodes that lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from provenance.errors import ChainError, ReceiptError, TamperedError, UsageError
from provenance.home import Home
from provenance.ledger.evm.anchor import anchor_checkpoint
from provenance.ledger.evm.check import Basis, Found, check_anchor
from provenance.ledger.evm.claim import AnchorClaim, AnchorKey
from provenance.ledger.evm.contract import MediaLedger, log_id_of
from provenance.ledger.evm.records import commit, deploy
from provenance.ledger.evm.rpc import Node

pytestmark = pytest.mark.evm

ORIGIN = "example.org/log"
ROOT = hashlib.sha256(b"a tree").digest()
SIZE = 42


@pytest.fixture
def key(ledger: MediaLedger, owner: LocalAccount) -> AnchorKey:
    """What a verifier knows: chain, contract and owner from the trust store, the rest from the receipt."""
    return AnchorKey(31337, ledger.address, owner.address, log_id_of(ORIGIN), SIZE, ROOT)


@pytest.fixture
def claim(home: Home, ledger: MediaLedger, owner: LocalAccount, key: AnchorKey) -> AnchorClaim:
    """The checkpoint is anchored; what the receipt says about it."""
    status = anchor_checkpoint(home, ledger, owner, origin=ORIGIN, size=SIZE, root=ROOT)
    assert status.claim is not None and status.claim.key == key
    return status.claim


def block_hash(node: Node, number: int) -> bytes:
    header = node.header(number)
    assert header is not None
    return header.hash


# --------------------------------------------------------------------------------------------- what it rests on


def test_a_trusted_block_hash_proves_it_without_any_node(key: AnchorKey, claim: AnchorClaim) -> None:
    check = check_anchor(key, claim=claim, trusted_block_hash=claim.block_hash)
    assert (check.found, check.basis) == (Found.ANCHORED, Basis.TRUSTED_BLOCK)
    assert (check.block_number, check.block_time) == (claim.block_number, claim.block_time)
    assert "the block hash you trust" in check.detail


def test_a_trusted_later_block_proves_it_by_way_of_any_node(
    anvil: Any, node: Node, key: AnchorKey, claim: AnchorClaim
) -> None:
    anvil.mine(4)
    later = block_hash(node, claim.block_number + 3)
    for known in (None, claim):
        check = check_anchor(key, rpc=[anvil.url], claim=known, trusted_block_hash=later)
        assert (check.found, check.basis) == (Found.ANCHORED, Basis.TRUSTED_BLOCK)
        assert check.block_number == claim.block_number + 3


def test_one_node_is_named(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    for known in (None, claim):
        check = check_anchor(key, rpc=[anvil.url], claim=known)
        assert (check.found, check.basis) == (Found.ANCHORED, Basis.ONE_NODE)
        assert f"according to 127.0.0.1:{anvil.port}" in check.detail


def test_the_same_node_twice_is_one_node(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    assert check_anchor(key, rpc=[anvil.url, anvil.url + "/"]).basis is Basis.ONE_NODE


def test_nodes_that_agree(anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim) -> None:
    honest = liar(anvil.url, lambda method, params, answer: answer)
    check = check_anchor(key, rpc=[anvil.url, honest])
    assert (check.found, check.basis, len(check.nodes)) == (Found.ANCHORED, Basis.AGREEMENT, 2)


def test_a_silent_node_beside_a_good_one_is_mentioned(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    check = check_anchor(key, rpc=["http://127.0.0.1:9", anvil.url])
    assert (check.found, check.basis) == (Found.ANCHORED, Basis.ONE_NODE)
    assert "no answer from 127.0.0.1:9" in check.detail


def test_the_claim_dates_the_anchor(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    anvil.mine(5)
    with_claim = check_anchor(key, rpc=[anvil.url], claim=claim)
    without = check_anchor(key, rpc=[anvil.url])
    assert with_claim.block_number == claim.block_number < (without.block_number or 0)


def test_not_anchored(anvil: Any, ledger: MediaLedger, key: AnchorKey) -> None:
    check = check_anchor(key, rpc=[anvil.url])
    assert (check.found, check.block_number) == (Found.ABSENT, None)
    assert "not anchored on chain 31337 as of block" in check.detail


def test_too_few_confirmations_is_pending(
    anvil: Any, key: AnchorKey, ledger: MediaLedger, home: Home, owner: LocalAccount
) -> None:
    anvil.mine(10)
    anchor_checkpoint(home, ledger, owner, origin=ORIGIN, size=SIZE, root=ROOT)
    assert check_anchor(key, rpc=[anvil.url], confirmations=5).found is Found.PENDING
    anvil.mine(4)
    check = check_anchor(key, rpc=[anvil.url], confirmations=5)
    assert (check.found, check.confirmations) == (Found.ANCHORED, 5)


def test_another_root_is_evidence(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    forked = replace(key, root=hashlib.sha256(b"another tree").digest())
    with pytest.raises(TamperedError, match="another root for size 42"):
        check_anchor(forked, rpc=[anvil.url])
    with pytest.raises(TamperedError, match="another root for size 42"):
        replace(claim, key=forked).verify(claim.block_hash)


def test_a_claim_for_something_else_is_ignored(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    """The receipt may say anything; chain, contract and owner are the verifier's."""
    for other in (
        replace(key, owner="0x" + "11" * 20),
        replace(key, size=SIZE + 1),
        replace(key, log_id=bytes(32)),
    ):
        assert check_anchor(other, rpc=[anvil.url], claim=claim).found is Found.ABSENT
        with pytest.raises(UsageError):
            check_anchor(other, claim=claim, trusted_block_hash=claim.block_hash)


def test_offline_without_a_block_hash_nothing_can_be_said(key: AnchorKey, claim: AnchorClaim) -> None:
    with pytest.raises(UsageError, match="only by asking a node or against a block hash"):
        check_anchor(key, claim=claim)


def test_a_claim_against_the_wrong_block(key: AnchorKey, claim: AnchorClaim) -> None:
    with pytest.raises(ChainError, match="not for the trusted one") as caught:
        check_anchor(key, claim=claim, trusted_block_hash=bytes(32))
    assert str(claim.block_number) in caught.value.hint


def test_an_unknown_trusted_block(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    with pytest.raises(ChainError, match="does not know block"):
        check_anchor(key, rpc=[anvil.url], trusted_block_hash=b"\x11" * 32)


# ---------------------------------------------------------------------------------------------- claims as JSON


def test_a_claim_survives_json(claim: AnchorClaim) -> None:
    text = json.dumps(claim.to_json())
    assert len(text) < 20_000
    assert AnchorClaim.from_json(json.loads(text)) == claim


@pytest.mark.parametrize(
    "change",
    [
        {"type": "veilmark.anchor/2"},
        {"size": "42"},
        {"size": -1},
        {"size": 2**64},
        {"size": True},
        {"root": "00"},
        {"contract": "0x12"},
        {"header": "zz"},
        {"header": "00" * 5000},
        {"account_proof": ["00"] * 200},
        {"account_proof": "00"},
        {"storage_proof": [7]},
        {"transaction": 5},
    ],
)
def test_malformed_claims_are_refused(claim: AnchorClaim, change: dict[str, Any]) -> None:
    with pytest.raises(ReceiptError, match="anchor is malformed"):
        AnchorClaim.from_json({**claim.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "x", {}])
def test_other_json_is_refused(data: Any) -> None:
    with pytest.raises(ReceiptError, match="anchor is malformed"):
        AnchorClaim.from_json(data)


def test_a_claim_with_any_altered_part_proves_nothing(key: AnchorKey, claim: AnchorClaim) -> None:
    def flipped(data: bytes, place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    proof = claim.proof
    altered = [
        replace(claim, header=flipped(claim.header, 100)),
        replace(claim, proof=replace(proof, account=(flipped(proof.account[0], 40), *proof.account[1:]))),
        replace(claim, proof=replace(proof, account=proof.account[:-1])),
        replace(claim, proof=replace(proof, account=(*proof.account, proof.account[-1]))),
        replace(claim, proof=replace(proof, storage=())),
        replace(claim, proof=replace(proof, storage=(*proof.storage[:-1], flipped(proof.storage[-1], 50)))),
    ]
    for broken in altered:
        with pytest.raises(ChainError):
            broken.verify(claim.block_hash)
    assert claim.verify(claim.block_hash).number == claim.block_number


# ------------------------------------------------------------------------------------------------- nodes that lie


def lie_about(method: str, change: Callable[[Any], Any]) -> Callable[..., Any]:
    def alter(asked: str, _: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": change(answer["result"])} if asked == method else answer

    return alter


def test_a_lying_eth_call_does_not_matter(anvil: Any, liar: Callable[..., str], key: AnchorKey) -> None:
    """The root is read by proof, not by asking the contract through the node."""
    url = liar(anvil.url, lie_about("eth_call", lambda _: "0x" + ROOT.hex()))
    assert check_anchor(key, rpc=[url]).found is Found.ABSENT


def test_a_made_up_storage_value_is_caught(anvil: Any, liar: Callable[..., str], key: AnchorKey) -> None:
    def invent(result: dict[str, Any]) -> dict[str, Any]:
        result["storageProof"][0]["value"] = "0x" + ROOT.hex()
        return result

    url = liar(anvil.url, lie_about("eth_getProof", invent))
    assert check_anchor(key, rpc=[url]).found is Found.ABSENT, "the stated value is not what counts"


@pytest.mark.parametrize("part", ["accountProof", "storageProof"])
def test_a_made_up_proof_is_caught(
    anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim, part: str
) -> None:
    def forge(result: dict[str, Any]) -> dict[str, Any]:
        nodes = result["accountProof"] if part == "accountProof" else result["storageProof"][0]["proof"]
        nodes[-1] = nodes[-1][:-2] + ("00" if nodes[-1][-2:] != "00" else "01")
        return result

    url = liar(anvil.url, lie_about("eth_getProof", forge))
    with pytest.raises(ChainError, match="does not lead to the block's state root"):
        check_anchor(key, rpc=[url])


def test_a_proof_of_another_slot_is_caught(
    anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim, node: Node
) -> None:
    """The node proves, correctly, a slot that was not asked for."""
    other = anvil.rpc("eth_getProof", key.contract, ["0x" + "00" * 31 + "07"], "latest")

    url = liar(anvil.url, lie_about("eth_getProof", lambda _: other))
    check = None
    try:
        check = check_anchor(key, rpc=[url])
    except ChainError:
        return
    assert check.found is Found.ABSENT


def test_a_forged_block_header_is_caught(
    anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim
) -> None:
    def forge(result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "stateRoot": "0x" + keccak(b"another state").hex()}

    url = liar(anvil.url, lie_about("eth_getBlockByNumber", forge))
    with pytest.raises(ChainError, match="do not hash to the hash stated"):
        check_anchor(key, rpc=[url])


def test_a_node_with_a_chain_of_its_own_making_is_outvoted(
    anvil: Any, start_anvil: Callable[..., Any], key: AnchorKey, owner: LocalAccount, tmp_path: Any
) -> None:
    """A consistent lie: a private chain with the same id, where the same contract holds another story."""
    liar_chain = start_anvil("--timestamp", "1700000000")
    liar_chain.fund(owner.address)
    forged, _ = deploy(Node.connect(liar_chain.url), owner)
    assert forged.address == key.contract
    anchor_checkpoint(
        Home(data=tmp_path / "forger", config=tmp_path), forged, owner, origin=ORIGIN, size=SIZE, root=ROOT
    )
    alone = check_anchor(key, rpc=[liar_chain.url])
    assert (alone.found, alone.basis) == (Found.ANCHORED, Basis.ONE_NODE), "one node can invent all of it"
    with pytest.raises(ChainError, match="disagree about block") as caught:
        check_anchor(key, rpc=[liar_chain.url, anvil.url])
    assert "lies or is on a fork" in caught.value.hint
    honest_hash = block_hash(Node.connect(anvil.url), 1)
    with pytest.raises(ChainError, match="does not know block"):
        check_anchor(key, rpc=[liar_chain.url], trusted_block_hash=honest_hash)


def test_a_node_on_another_chain_is_named(
    anvil: Any, start_anvil: Callable[..., Any], key: AnchorKey, claim: AnchorClaim
) -> None:
    other = start_anvil("--chain-id", "1")
    for urls in ([other.url], [anvil.url, other.url]):
        with pytest.raises(ChainError, match="is on chain 1, expected chain 31337") as caught:
            check_anchor(key, rpc=urls)
        assert caught.value.hint


def test_no_contract_at_the_address(anvil: Any, key: AnchorKey, claim: AnchorClaim) -> None:
    elsewhere = replace(key, contract="0x" + "22" * 20)
    with pytest.raises(ChainError, match="there is no MediaLedger at"):
        check_anchor(elsewhere, rpc=[anvil.url])


def test_another_contract_at_the_address(
    anvil: Any, node: Node, key: AnchorKey, claim: AnchorClaim, ledger: MediaLedger, owner: LocalAccount
) -> None:
    code = anvil.rpc("eth_getCode", key.contract, "latest")
    anvil.rpc("anvil_setCode", key.contract, code[:-2] + "00")
    commit(MediaLedger(node, key.contract), owner, "cid", "a block with the new code")
    with pytest.raises(ChainError, match="there is no MediaLedger at"):
        check_anchor(key, rpc=[anvil.url])
    with pytest.raises(ChainError, match="is not this MediaLedger"):
        MediaLedger.at(node, key.contract)


def test_a_node_that_pruned_the_state_is_no_obstacle(
    anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim
) -> None:
    anvil.mine(3)

    def prune(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getProof" and int(params[2], 16) <= claim.block_number:
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "missing trie node"}}
        return answer

    url = liar(anvil.url, prune)
    carried = check_anchor(key, rpc=[url], claim=claim)
    assert (carried.found, carried.block_number) == (Found.ANCHORED, claim.block_number)
    damaged = replace(claim, proof=replace(claim.proof, storage=()))
    for other in (None, damaged):
        later = check_anchor(key, rpc=[url], claim=other)
        assert later.found is Found.ANCHORED and (later.block_number or 0) > claim.block_number


def test_a_node_without_proofs_is_named(
    anvil: Any, liar: Callable[..., str], key: AnchorKey, claim: AnchorClaim
) -> None:
    def refuse(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getProof":
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "method not found"}}
        return answer

    url = liar(anvil.url, refuse)
    assert check_anchor(key, rpc=[url], claim=claim).found is Found.ANCHORED
    with pytest.raises(ChainError, match="cannot prove the state of block") as caught:
        check_anchor(key, rpc=[url])
    assert "archive" in caught.value.hint
