"""Each function of the contract: what it does, what it emits, what it refuses and with which values."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import vyper
from eth_account import Account
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from web3 import Web3

import contracts

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
LOG = b"\x11" * 32
ROOT = b"\x22" * 32
CONTENT = b"\x33" * 32
ZERO = b"\x00" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Send = Callable[..., Any]
Reverts = Callable[..., None]
Signed = Callable[..., dict[str, Any]]


def soon(web3: Web3) -> int:
    return int(web3.eth.get_block("latest")["timestamp"]) + 1000


# ------------------------------------------------------------------------------------------------- anchors


def test_anchor_stores_and_emits(web3: Web3, ledger: Any, alice: str, send: Send) -> None:
    receipt = send(ledger.functions.anchor(LOG, 7, ROOT, CONTENT), alice)
    (event,) = ledger.events.Anchor().process_receipt(receipt)
    assert dict(event["args"]) == {
        "owner": alice,
        "log_id": LOG,
        "size": 7,
        "root": ROOT,
        "content": CONTENT,
    }
    block = web3.eth.get_block(receipt["blockNumber"])
    assert ledger.functions.head(alice, LOG).call() == [7, 1, block["number"], block["timestamp"]]
    assert ledger.functions.anchored_root(alice, LOG, 7).call() == ROOT


def test_every_earlier_root_stays_provable(ledger: Any, alice: str, send: Send) -> None:
    for size in (1, 5, 2**64 - 1):
        send(ledger.functions.anchor(LOG, size, keccak(size), ZERO), alice)
    for size in (1, 5, 2**64 - 1):
        assert ledger.functions.anchored_root(alice, LOG, size).call() == keccak(size)
    assert ledger.functions.head(alice, LOG).call()[:2] == [2**64 - 1, 3]


@pytest.mark.parametrize("size", [0, 6, 7])
def test_an_anchor_must_extend_the_log(
    ledger: Any, alice: str, send: Send, reverts: Reverts, size: int
) -> None:
    send(ledger.functions.anchor(LOG, 7, ROOT, CONTENT), alice)
    reverts(ledger.functions.anchor(LOG, size, b"\x44" * 32, CONTENT), alice, "SizeNotGreater", (7, size))


def test_an_empty_log_cannot_be_anchored(ledger: Any, alice: str, reverts: Reverts) -> None:
    reverts(ledger.functions.anchor(LOG, 0, ROOT, CONTENT), alice, "SizeNotGreater", (0, 0))
    reverts(ledger.functions.anchor(LOG, 1, ZERO, CONTENT), alice, "ZeroRoot", ())


def test_owners_and_logs_do_not_touch_each_other(ledger: Any, alice: str, bob: str, send: Send) -> None:
    other_log = b"\x12" * 32
    send(ledger.functions.anchor(LOG, 100, ROOT, ZERO), alice)
    send(ledger.functions.anchor(LOG, 3, b"\x44" * 32, ZERO), bob)
    send(ledger.functions.anchor(other_log, 2, b"\x55" * 32, ZERO), alice)
    assert ledger.functions.head(alice, LOG).call()[0] == 100
    assert ledger.functions.head(bob, LOG).call()[0] == 3
    assert ledger.functions.head(alice, other_log).call()[0] == 2
    assert ledger.functions.anchored_root(bob, LOG, 100).call() == ZERO


# ------------------------------------------------------------------------------------------------- records


def test_commit_is_erc_7053(web3: Web3, ledger: Any, alice: str, send: Send) -> None:
    call = ledger.functions.commit(CID, "statement")
    assert call.call({"from": alice}) == web3.eth.block_number
    receipt = send(call, alice)
    (entry,) = receipt["logs"]
    assert [bytes(topic) for topic in entry["topics"]] == [
        keccak(text="Commit(address,string,string)"),
        bytes(12) + bytes.fromhex(alice[2:]),
        keccak(text=CID),
    ]
    (event,) = ledger.events.Commit().process_receipt(receipt)
    assert event["args"]["commitData"] == "statement"
    assert web3.keccak(text="commit(string,string)")[:4] == bytes.fromhex(call.selector[2:])


def test_commit_stores_nothing(web3: Web3, ledger: Any, alice: str, send: Send) -> None:
    receipt = send(ledger.functions.commit(CID, ""), alice)
    assert receipt["gasUsed"] < 21_000 + 20_000, "a fresh storage slot alone would cost 20,000"
    assert ledger.functions.withdrawal(alice, CID).call() == [0, 0]


def test_commit_takes_text_up_to_its_limits(ledger: Any, alice: str, send: Send) -> None:
    send(ledger.functions.commit("c" * 128, "d" * 2048), alice)
    for identifier, data in (("c" * 129, ""), ("", "d" * 2049)):
        with pytest.raises(TransactionFailed):
            ledger.functions.commit(identifier, data).call({"from": alice})


def test_batch(web3: Web3, ledger: Any, alice: str, bob: str, send: Send, reverts: Reverts) -> None:
    receipt = send(ledger.functions.commit_batch(ROOT, 1000, CONTENT), alice)
    (event,) = ledger.events.CommitBatch().process_receipt(receipt)
    assert dict(event["args"]) == {"recorder": alice, "root": ROOT, "size": 1000, "content": CONTENT}
    block = web3.eth.get_block(receipt["blockNumber"])
    assert ledger.functions.batch(alice, ROOT).call() == [1000, block["number"], block["timestamp"]]
    assert ledger.functions.batch(bob, ROOT).call() == [0, 0, 0]
    reverts(
        ledger.functions.commit_batch(ROOT, 5, ZERO),
        alice,
        "BatchExists",
        (alice.lower(), ROOT, block["number"]),
    )
    reverts(ledger.functions.commit_batch(ZERO, 5, ZERO), alice, "ZeroRoot", ())
    reverts(ledger.functions.commit_batch(CONTENT, 0, ZERO), alice, "ZeroSize", ())
    send(ledger.functions.commit_batch(ROOT, 5, ZERO), bob)


def test_withdrawal_marks_and_deletes_nothing(
    web3: Web3, ledger: Any, alice: str, bob: str, send: Send, reverts: Reverts
) -> None:
    committed = send(ledger.functions.commit(CID, "statement"), alice)
    receipt = send(ledger.functions.withdraw(CID, "wrong date"), alice)
    (event,) = ledger.events.Withdraw().process_receipt(receipt)
    assert (event["args"]["recorder"], event["args"]["reason"]) == (alice, "wrong date")
    assert bytes(event["args"]["assetCid"]) == keccak(text=CID)
    block = web3.eth.get_block(receipt["blockNumber"])
    assert ledger.functions.withdrawal(alice, CID).call() == [block["number"], block["timestamp"]]
    assert ledger.functions.withdrawal(bob, CID).call() == [0, 0]
    (still,) = ledger.events.Commit().get_logs(from_block=committed["blockNumber"])
    assert still["args"]["commitData"] == "statement"
    reverts(
        ledger.functions.withdraw(CID, "again"),
        alice,
        "AlreadyWithdrawn",
        (alice.lower(), keccak(text=CID), block["number"]),
    )


# ---------------------------------------------------------------------------------------- signed and relayed


def test_a_relayed_commit_is_the_signers(
    web3: Web3, ledger: Any, bob: str, camera: Any, send: Send, signed: Signed
) -> None:
    arguments = signed(camera, "Commit", "statement", 5, soon(web3))
    receipt = send(ledger.functions.commit_for(**arguments), bob)
    (event,) = ledger.events.Commit().process_receipt(receipt)
    assert event["args"]["recorder"] == camera.address
    assert ledger.functions.is_nonce_used(camera.address, 5).call()
    assert not ledger.functions.is_nonce_used(camera.address, 4).call()


def test_a_relayed_withdrawal_is_the_signers(
    web3: Web3, ledger: Any, bob: str, camera: Any, send: Send, signed: Signed
) -> None:
    arguments = signed(camera, "Withdraw", "stolen", 2**256 - 1, soon(web3))
    receipt = send(ledger.functions.withdraw_for(**arguments), bob)
    assert ledger.functions.withdrawal(camera.address, CID).call()[0] == receipt["blockNumber"]
    assert ledger.functions.withdrawal(bob, CID).call() == [0, 0]


def test_replay_is_refused(
    web3: Web3, ledger: Any, bob: str, camera: Any, send: Send, signed: Signed, reverts: Reverts
) -> None:
    deadline = soon(web3)
    first = ledger.functions.commit_for(**signed(camera, "Commit", "statement", 5, deadline))
    send(first, bob)
    used = (camera.address.lower(), 5)
    reverts(first, bob, "NonceUsed", used)
    other = ledger.functions.commit_for(**signed(camera, "Commit", "other", 5, deadline))
    reverts(other, bob, "NonceUsed", used)
    withdrawal = ledger.functions.withdraw_for(**signed(camera, "Withdraw", "why", 5, deadline))
    reverts(withdrawal, bob, "NonceUsed", used)


def test_nonces_need_no_order(
    web3: Web3, ledger: Any, bob: str, camera: Any, send: Send, signed: Signed
) -> None:
    nonces = (1000, 3, 2**200, 0, 255, 256)
    for nonce in nonces:
        send(ledger.functions.commit_for(**signed(camera, "Commit", "s", nonce, soon(web3))), bob)
    for nonce in nonces:
        assert ledger.functions.is_nonce_used(camera.address, nonce).call(), nonce
    for nonce in (1, 2, 4, 254, 257, 999, 1001, 2**200 + 1):
        assert not ledger.functions.is_nonce_used(camera.address, nonce).call(), nonce


def test_taking_back_twice_takes_back_both(ledger: Any, alice: str, send: Send) -> None:
    for mask in (0b01, 0b10):
        send(ledger.functions.invalidate_nonces(0, mask), alice)
    assert [ledger.functions.is_nonce_used(alice, nonce).call() for nonce in range(3)] == [True, True, False]


def test_the_malleable_twin_is_refused(
    web3: Web3, ledger: Any, bob: str, camera: Any, signed: Signed, reverts: Reverts
) -> None:
    arguments = signed(camera, "Commit", "statement", 5, soon(web3))
    twin = ORDER - int.from_bytes(arguments["s"], "big")
    arguments.update(v=55 - arguments["v"], s=twin.to_bytes(32, "big"))
    # the twin is a signature by the same key over the same digest ...
    digest = typed_digest(ledger, arguments)
    vrs = (arguments["v"], int.from_bytes(arguments["r"], "big"), twin)
    assert Account._recover_hash(digest, vrs=vrs) == camera.address
    # ... and refused all the same
    reverts(ledger.functions.commit_for(**arguments), bob, "SignatureNotLowS", (arguments["s"],))


def typed_digest(ledger: Any, arguments: dict[str, Any]) -> bytes:
    """EIP-712, written out."""
    word = lambda number: int(number).to_bytes(32, "big")  # noqa: E731
    domain = keccak(
        keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(text="MediaLedger")
        + keccak(text="1")
        + word(ledger.w3.eth.chain_id)
        + word(int(ledger.address, 16))
    )
    assert domain == ledger.functions.DOMAIN_SEPARATOR().call()
    struct = keccak(
        keccak(
            text="Commit(address recorder,string assetCid,string commitData,uint256 nonce,uint256 deadline)"
        )
        + word(int(arguments["recorder"], 16))
        + keccak(text=arguments["assetCid"])
        + keccak(text=arguments["commitData"])
        + word(arguments["nonce"])
        + word(arguments["deadline"])
    )
    return keccak(b"\x19\x01" + domain + struct)


def test_the_zero_signer_is_refused(
    web3: Web3, ledger: Any, bob: str, camera: Any, signed: Signed, reverts: Reverts
) -> None:
    zero = "0x" + "00" * 20
    arguments = signed(camera, "Commit", "statement", 5, soon(web3))
    for broken in ({"v": 0}, {"v": 29}, {"r": ZERO}, {"s": ZERO}):
        forged = {**arguments, **broken, "recorder": zero}
        reverts(ledger.functions.commit_for(**forged), bob, "SignerMismatch", (zero, zero))
        unclaimed = {**arguments, **broken}
        reverts(
            ledger.functions.commit_for(**unclaimed), bob, "SignerMismatch", (zero, camera.address.lower())
        )


@pytest.mark.parametrize(
    "change",
    [
        {"assetCid": CID + "x"},
        {"commitData": "another statement"},
        {"nonce": 6},
        {"recorder": "0x" + "11" * 20},
        {"deadline": 2**255},
    ],
)
def test_nothing_signed_can_be_changed(
    web3: Web3, ledger: Any, bob: str, camera: Any, signed: Signed, revert_of: Any, change: dict[str, Any]
) -> None:
    arguments = {**signed(camera, "Commit", "statement", 5, soon(web3)), **change}
    name, _ = revert_of(ledger.functions.commit_for(**arguments), bob)
    assert name == "SignerMismatch"


@pytest.mark.parametrize(
    "other",
    [{"chainId": 1}, {"verifyingContract": "0x" + "11" * 20}, {"name": "Medialedger"}, {"version": "2"}],
)
def test_a_signature_for_another_domain_is_refused(
    web3: Web3, ledger: Any, bob: str, camera: Any, signed: Signed, revert_of: Any, other: dict[str, Any]
) -> None:
    arguments = signed(camera, "Commit", "statement", 5, soon(web3), **other)
    name, _ = revert_of(ledger.functions.commit_for(**arguments), bob)
    assert name == "SignerMismatch"


def test_a_commit_signature_is_no_withdrawal(
    web3: Web3, ledger: Any, bob: str, camera: Any, signed: Signed, revert_of: Any
) -> None:
    arguments = signed(camera, "Commit", "same text", 5, soon(web3))
    arguments["reason"] = arguments.pop("commitData")
    name, _ = revert_of(ledger.functions.withdraw_for(**arguments), bob)
    assert name == "SignerMismatch"


def test_a_deadline_holds_to_the_second(
    web3: Web3, ledger: Any, tester: Any, bob: str, camera: Any, send: Send, signed: Signed, revert_of: Any
) -> None:
    deadline = soon(web3)
    tester.time_travel(deadline)
    receipt = send(ledger.functions.commit_for(**signed(camera, "Commit", "s", 5, deadline)), bob)
    assert receipt["status"] == 1
    assert web3.eth.get_block(receipt["blockNumber"])["timestamp"] == deadline
    tester.time_travel(deadline + 1)
    tester.mine_block()
    late = ledger.functions.commit_for(**signed(camera, "Commit", "s", 6, deadline))
    name, (signed_deadline, timestamp) = revert_of(late, bob)
    assert name == "SignatureExpired" and signed_deadline == deadline < timestamp


def test_a_signer_can_take_back_what_it_signed(
    web3: Web3, ledger: Any, alice: str, bob: str, send: Send, signed: Signed, reverts: Reverts
) -> None:
    key = Account.from_key(keccak(text="a signer with ether"))
    send_ether = web3.eth.send_transaction({"from": alice, "to": key.address, "value": 10**18})
    web3.eth.wait_for_transaction_receipt(send_ether)
    call = ledger.functions.invalidate_nonces(1, 0b101)
    fields = {"from": key.address, "nonce": 0, "gas": 100_000}
    raw = key.sign_transaction(call.build_transaction(fields)).raw_transaction
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(raw))
    (event,) = ledger.events.NoncesInvalidated().process_receipt(receipt)
    assert dict(event["args"]) == {"recorder": key.address, "word": 1, "mask": 0b101}
    for nonce, used in ((256, True), (257, False), (258, True), (0, False)):
        assert ledger.functions.is_nonce_used(key.address, nonce).call() is used
    taken_back = ledger.functions.commit_for(**signed(key, "Commit", "s", 258, soon(web3)))
    reverts(taken_back, bob, "NonceUsed", (key.address.lower(), 258))
    send(ledger.functions.commit_for(**signed(key, "Commit", "s", 257, soon(web3))), bob)


def test_a_relayed_withdrawal_does_not_overwrite_the_first(
    web3: Web3, ledger: Any, bob: str, camera: Any, send: Send, signed: Signed, reverts: Reverts
) -> None:
    first = send(ledger.functions.withdraw_for(**signed(camera, "Withdraw", "a", 1, soon(web3))), bob)
    again = ledger.functions.withdraw_for(**signed(camera, "Withdraw", "b", 2, soon(web3)))
    expected = (camera.address.lower(), keccak(text=CID), first["blockNumber"])
    reverts(again, bob, "AlreadyWithdrawn", expected)
    assert not ledger.functions.is_nonce_used(camera.address, 2).call()


def test_the_domain_can_be_read(web3: Web3, ledger: Any) -> None:
    fields, name, version, chain_id, contract, salt, extensions = ledger.functions.eip712Domain().call()
    assert (fields, salt, extensions) == (b"\x0f", ZERO, [])
    assert (name, version, chain_id, contract) == ("MediaLedger", "1", web3.eth.chain_id, ledger.address)


# ----------------------------------------------------------------------------------- look-up, no ether, docs


def test_describe_follows_the_c2pa_schema(ledger: Any) -> None:
    (method,) = json.loads(ledger.functions.describe().call())
    assert set(method) == {"resolutionMethod", "queryEventLog"}
    assert method["resolutionMethod"] == "eventLog"
    query = method["queryEventLog"]
    assert set(query) == {"smartContractAddress", "keyTopic", "byBindingOutputSchema"}
    assert query["smartContractAddress"] == ledger.address.lower()
    schema = query["byBindingOutputSchema"]
    assert schema["required"] == ["endpoints"] and schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"endpoints", "manifestId"}


def test_a_stranger_finds_a_manifest_by_what_describe_says(
    web3: Web3, ledger: Any, alice: str, send: Send
) -> None:
    value = base64.b64encode(b"\xd8" * 32).decode()
    message = json.dumps({"endpoints": ["https://example.org/v1"], "manifestId": "urn:c2pa:1"})
    send(ledger.functions.publish_soft_binding("com.example.pdq.1", value, message), alice)
    send(ledger.functions.publish_soft_binding("com.example.pdq.1", "AAAA", "{}"), alice)
    query = json.loads(ledger.functions.describe().call())[0]["queryEventLog"]
    topics: list[Any] = [None, None, None, None]
    topics[int(query["keyTopic"].removeprefix("topic"))] = keccak(text=value)
    found = web3.eth.get_logs(
        {
            "address": Web3.to_checksum_address(query["smartContractAddress"]),
            "topics": topics,
            "fromBlock": 0,
        }
    )
    (event,) = [ledger.events.SoftBinding().process_log(entry) for entry in found]
    assert json.loads(event["args"]["message"])["manifestId"] == "urn:c2pa:1"
    assert bytes(event["args"]["alg"]) == keccak(text="com.example.pdq.1")
    assert event["args"]["recorder"] == alice


def test_ether_is_refused_everywhere(web3: Web3, ledger: Any, alice: str) -> None:
    for entry in ledger.abi:
        if entry["type"] == "function":
            assert entry["stateMutability"] != "payable"
    for data in ("0x", ledger.functions.commit(CID, "")._encode_transaction_data()):
        payment = {"from": alice, "to": ledger.address, "value": 1, "gas": 200_000, "data": data}
        receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(payment))
        assert receipt["status"] == 0
    assert web3.eth.get_balance(ledger.address) == 0


def test_unknown_functions_are_refused(web3: Web3, ledger: Any, alice: str) -> None:
    with pytest.raises(TransactionFailed):
        web3.eth.call({"from": alice, "to": ledger.address, "data": "0xdeadbeef"})


def test_no_opcode_that_could_move_ether_or_code() -> None:
    """No CREATE, CALL with value, DELEGATECALL or SELFDESTRUCT: only SHA-256, ecrecover, identity."""
    opcodes = vyper.compile_code(contracts.media_ledger_source(), output_formats=["opcodes_runtime"])
    names = set(opcodes["opcodes_runtime"].split())
    assert "STATICCALL" in names
    assert not names & {"CREATE", "CREATE2", "CALL", "CALLCODE", "DELEGATECALL", "SELFDESTRUCT"}


def test_everything_external_is_documented() -> None:
    compiled = vyper.compile_code(contracts.media_ledger_source(), output_formats=["userdoc", "devdoc"])
    notices, details = compiled["userdoc"]["methods"], compiled["devdoc"]["methods"]
    for entry in contracts.media_ledger().abi:
        if entry["type"] != "function":
            continue
        signature = f"{entry['name']}({','.join(parameter['type'] for parameter in entry['inputs'])})"
        assert notices[signature]["notice"], signature
        documented = set(details.get(signature, {}).get("params", {}))
        assert documented == {parameter["name"] for parameter in entry["inputs"]}, signature
        if entry["outputs"]:
            assert details[signature]["returns"], signature
    binding = notices["publish_soft_binding(string,string,string)"]["notice"]
    assert "OPT-IN" in binding and "WARNING" in binding
