"""The contract against a model in Python: any sequence of calls leaves both in the same state."""

from __future__ import annotations

import ast
from typing import Any

import eth_abi
import hypothesis.strategies as st
import pytest
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from web3 import EthereumTesterProvider, Web3

import contracts

LOGS = [bytes([number]) * 32 for number in (1, 2)]
ROOTS = [bytes(32), *(keccak(number) for number in range(3))]
NAMES = ["", "bafkreia", "bafkreib"]
KEYS = [Account.from_key(keccak(text=f"model key {number}")) for number in range(2)]
#: Given outright, because eth-tester would search for the gas limit by trial.
FEES = {"gas": 500_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
NONCES = [0, 1, 255, 256, 2**256 - 1]
ERRORS = {
    entry["name"]: [parameter["type"] for parameter in entry["inputs"]]
    for entry in contracts.media_ledger().abi
    if entry["type"] == "error"
}
SELECTORS = {keccak(text=f"{name}({','.join(types)})")[:4]: name for name, types in ERRORS.items()}


class LedgerMachine(RuleBasedStateMachine):
    """Rules call the contract, foretell the outcome from the model, and compare."""

    users = st.integers(0, 1)
    logs = st.sampled_from(LOGS)
    roots = st.sampled_from(ROOTS)
    names = st.sampled_from(NAMES)

    def __init__(self) -> None:
        super().__init__()
        tester = EthereumTester(PyEVMBackend())
        self.web3 = Web3(EthereumTesterProvider(tester))
        self.accounts = self.web3.eth.accounts[:2]
        self.anchors: dict[tuple[str, bytes], list[tuple[int, bytes, int]]] = {}
        self.batches: dict[tuple[str, bytes], tuple[int, int]] = {}
        self.withdrawn: dict[tuple[str, str], int] = {}
        self.used: set[tuple[str, int]] = set()
        self.events: list[tuple[str, ...]] = []

    @initialize()
    def deploy(self) -> None:
        artifact = contracts.media_ledger()
        factory = self.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        transaction = factory.constructor().transact({"from": self.accounts[0]})
        address = self.web3.eth.wait_for_transaction_receipt(transaction)["contractAddress"]
        self.ledger: Any = self.web3.eth.contract(address, abi=artifact.abi)

    def run(self, call: Any, sender: str, expected: tuple[str, tuple[Any, ...]] | None) -> int:
        """Send it; it must fail with the error foretold, or succeed. The block it is in."""
        try:
            call.call({"from": sender, **FEES})
        except TransactionFailed as failure:
            data = ast.literal_eval(str(failure).removeprefix("execution reverted: "))
            name = SELECTORS[data[:4]]
            assert (name, eth_abi.decode(ERRORS[name], data[4:])) == expected
            return 0
        assert expected is None
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender, **FEES}))
        assert receipt["status"] == 1
        return int(receipt["blockNumber"])

    @rule(user=users, log=logs, size=st.integers(0, 12), root=roots)
    def anchor(self, user: int, log: bytes, size: int, root: bytes) -> None:
        owner = self.accounts[user]
        history = self.anchors.setdefault((owner, log), [])
        last = history[-1][0] if history else 0
        expected: Any = None
        if root == bytes(32):
            expected = ("ZeroRoot", ())
        elif size <= last:
            expected = ("SizeNotGreater", (last, size))
        block = self.run(self.ledger.functions.anchor(log, size, root, bytes(32)), owner, expected)
        if block:
            history.append((size, root, block))

    @rule(user=users, root=roots, size=st.integers(0, 2))
    def batch(self, user: int, root: bytes, size: int) -> None:
        recorder = self.accounts[user]
        expected: Any = None
        if root == bytes(32):
            expected = ("ZeroRoot", ())
        elif size == 0:
            expected = ("ZeroSize", ())
        elif (recorder, root) in self.batches:
            expected = ("BatchExists", (recorder.lower(), root, self.batches[recorder, root][1]))
        block = self.run(self.ledger.functions.commit_batch(root, size, bytes(32)), recorder, expected)
        if block:
            self.batches[recorder, root] = (size, block)

    @rule(user=users, name=names, text=st.text(max_size=40))
    def commit(self, user: int, name: str, text: str) -> None:
        self.run(self.ledger.functions.commit(name, text), self.accounts[user], None)
        self.events.append((self.accounts[user], name, text))

    @rule(user=users, name=names)
    def withdraw(self, user: int, name: str) -> None:
        recorder = self.accounts[user]
        block = self.run(
            self.ledger.functions.withdraw(name, "why"), recorder, self.withdrawal_error(recorder, name)
        )
        if block:
            self.withdrawn[recorder, name] = block

    def withdrawal_error(self, recorder: str, name: str) -> Any:
        if (recorder, name) not in self.withdrawn:
            return None
        return "AlreadyWithdrawn", (recorder.lower(), keccak(text=name), self.withdrawn[recorder, name])

    @rule(
        relayer=users,
        key=st.sampled_from(KEYS),
        name=names,
        nonce=st.sampled_from(NONCES),
        kind=st.sampled_from(["Commit", "Withdraw"]),
        fault=st.sampled_from(["", "", "", "expired", "high-s", "stranger"]),
    )
    def relay(self, relayer: int, key: Any, name: str, nonce: int, kind: str, fault: str) -> None:
        deadline = 1 if fault == "expired" else 2**255
        signer = KEYS[1 - KEYS.index(key)] if fault == "stranger" else key
        v, r, s = self.sign(signer, key.address, kind, name, nonce, deadline)
        if fault == "high-s":
            v, s = 55 - v, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - s
        recorder = key.address
        timestamp = self.web3.eth.get_block("latest")["timestamp"]
        expected: Any = None
        if fault == "expired":
            expected = ("SignatureExpired", (1, timestamp))
        elif fault == "high-s":
            expected = ("SignatureNotLowS", (s.to_bytes(32, "big"),))
        elif fault == "stranger":
            expected = ("SignerMismatch", (signer.address.lower(), recorder.lower()))
        elif (recorder, nonce) in self.used:
            expected = ("NonceUsed", (recorder.lower(), nonce))
        elif kind == "Withdraw":
            expected = self.withdrawal_error(recorder, name)
        functions = self.ledger.functions
        function = functions.commit_for if kind == "Commit" else functions.withdraw_for
        arguments = (recorder, name, "text", nonce, deadline, v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))
        block = self.run(function(*arguments), self.accounts[relayer], expected)
        if block:
            self.used.add((recorder, nonce))
            if kind == "Commit":
                self.events.append((recorder, name, "text"))
            else:
                self.withdrawn[recorder, name] = block

    def sign(self, key: Any, recorder: str, kind: str, name: str, nonce: int, deadline: int) -> Any:
        label = {"Commit": "commitData", "Withdraw": "reason"}[kind]
        types = [("recorder", "address"), ("assetCid", "string"), (label, "string")]
        types += [("nonce", "uint256"), ("deadline", "uint256")]
        domain = {
            "name": "MediaLedger",
            "version": "1",
            "chainId": self.web3.eth.chain_id,
            "verifyingContract": self.ledger.address,
        }
        message = dict(
            zip([field for field, _ in types], [recorder, name, "text", nonce, deadline], strict=True)
        )
        fields = {kind: [{"name": field, "type": type_} for field, type_ in types]}
        signature = Account.sign_typed_data(key.key, domain, fields, message)
        return signature.v, signature.r, signature.s

    @rule(user=users, word=st.sampled_from([0, 1]), bit=st.sampled_from([0, 1, 255]))
    def invalidate(self, user: int, word: int, bit: int) -> None:
        self.run(self.ledger.functions.invalidate_nonces(word, 1 << bit), self.accounts[user], None)
        self.used.add((self.accounts[user], word * 256 + bit))

    @invariant()
    def storage_is_as_the_model_says(self) -> None:
        """By the published storage layout: what eth_getProof proves to others."""
        for (owner, log), history in self.anchors.items():
            size, _, block = history[-1] if history else (0, b"", 0)
            packed = self.slot("heads", owner, log)
            assert packed & (2**192 - 1) == size | len(history) << 64 | block << 128
            assert [size for size, _, _ in history] == sorted({size for size, _, _ in history})
            for size, root, _ in history:
                assert self.slot("roots", owner, log, size) == int.from_bytes(root, "big")
        for (recorder, root), (size, block) in self.batches.items():
            assert self.slot("batches", recorder, root) & (2**128 - 1) == size | block << 64
        for (recorder, name), block in self.withdrawn.items():
            assert self.slot("withdrawals", recorder, keccak(text=name)) & (2**64 - 1) == block
        for recorder in [*self.accounts, *(key.address for key in KEYS)]:
            for word in {nonce >> 8 for nonce in NONCES}:
                bits = sum(1 << (n & 255) for who, n in self.used if (who, n >> 8) == (recorder, word))
                assert self.slot("nonce_bitmaps", recorder, word) == bits

    def slot(self, variable: str, *keys: str | bytes | int) -> int:
        place = contracts.media_ledger().storage[variable].to_bytes(32, "big")
        for key in keys:
            number = int(key, 16) if isinstance(key, str) else key
            word = number if isinstance(number, bytes) else number.to_bytes(32, "big")
            place = keccak(place + word)
        value = self.web3.eth.get_storage_at(self.ledger.address, int.from_bytes(place, "big"))
        return int.from_bytes(value, "big")

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        functions = self.ledger.functions
        for (owner, log), history in self.anchors.items():
            size, _, block = history[-1] if history else (0, b"", 0)
            assert functions.head(owner, log).call(FEES)[:3] == [size, len(history), block]
            for size, root, _ in history:
                assert functions.anchored_root(owner, log, size).call(FEES) == root
        for (recorder, root), (size, block) in self.batches.items():
            assert functions.batch(recorder, root).call(FEES)[:2] == [size, block]
        for (recorder, name), block in self.withdrawn.items():
            assert functions.withdrawal(recorder, name).call(FEES)[0] == block
        events = self.ledger.events.Commit().get_logs(from_block=0)
        found = [(event["args"]["recorder"], event["args"]["commitData"]) for event in events]
        assert found == [(recorder, text) for recorder, _, text in self.events]
        assert self.web3.eth.get_balance(self.ledger.address) == 0


def test_contract_and_model_agree() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=6, stateful_step_count=12, deadline=None)
    )


@pytest.mark.slow
def test_contract_and_model_agree_for_long() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
