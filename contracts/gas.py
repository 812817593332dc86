"""Measure what each call costs and write GAS.md: ``python -m contracts.gas [--check]``.

Runs the checked-in bytecode on py-evm (development dependencies). The inputs are fixed and hold no zero
bytes, which are cheaper, so that real calls cost the same or a little less. ``--check`` writes nothing and
exits 1 when GAS.md says something else.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contracts

OUTPUT = Path(__file__).with_name("GAS.md")
BATCH = 1000
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_HEAD = f"""# Gas

Written by `python -m contracts.gas`; a test measures again and compares. Whole transactions, the 21,000 that
any transaction pays included. Identifiers are CIDv1 texts of {len(CID)} characters, statements 64 characters
(a SHA-256 in hex) unless said otherwise; no argument holds a zero byte.

| call | gas | target |
|---|--:|--:|
"""
_FOOT = """
*Steady state*: the owner anchored this log before (its head slot is in use) or, for nonces, the signer used
another nonce of the same 256 before. Reading (`head`, `anchored_root`, `verify_inclusion`, `describe`, ...)
is free when asked from outside.
"""


@dataclass(frozen=True)
class Cost:
    """One row: what was called, the gas it used (rounded for a cost per record), and its ceiling or None."""

    call: str
    gas: float
    target: int | None = None


def measure() -> list[Cost]:
    """Each row of the table, measured now on a fresh in-process chain."""
    from eth_account import Account
    from eth_tester import EthereumTester, PyEVMBackend
    from web3 import EthereumTesterProvider, Web3

    web3 = Web3(EthereumTesterProvider(EthereumTester(PyEVMBackend())))
    sender = web3.eth.accounts[0]

    def used(call: Any) -> int:
        # given outright, because eth-tester would search for the limit by trial
        transaction = call.transact({"from": sender, "gas": 3_000_000})
        receipt = web3.eth.wait_for_transaction_receipt(transaction)
        if receipt["status"] != 1:
            raise RuntimeError("a measured call failed")
        return int(receipt["gasUsed"])

    artifact = contracts.media_ledger()
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    deployment = web3.eth.wait_for_transaction_receipt(factory.constructor().transact({"from": sender}))
    ledger: Any = web3.eth.contract(deployment["contractAddress"], abi=artifact.abi)
    call = ledger.functions
    log, deadline = _word("log"), 2**32 - 1
    key = Account.from_key(_word("camera"))

    def relayed(kind: str, text: str, nonce: int) -> Any:
        label = {"Commit": "commitData", "Withdraw": "reason"}[kind]
        fields = [("recorder", "address"), ("assetCid", "string"), (label, "string")]
        fields += [("nonce", "uint256"), ("deadline", "uint256")]
        values = [key.address, CID, text, nonce, deadline]
        signature = Account.sign_typed_data(
            key.key,
            {
                "name": "MediaLedger",
                "version": "1",
                "chainId": web3.eth.chain_id,
                "verifyingContract": ledger.address,
            },
            {kind: [{"name": name, "type": type_} for name, type_ in fields]},
            {name: value for (name, _), value in zip(fields, values, strict=True)},
        )
        function = call.commit_for if kind == "Commit" else call.withdraw_for
        halves = (number.to_bytes(32, "big") for number in (signature.r, signature.s))
        return function(*values, signature.v, *halves)

    word = 2**255 + 2**200 + 7
    return [
        Cost("deployment", int(deployment["gasUsed"])),
        Cost("`anchor`, first of a log", used(call.anchor(log, 1001, _word("a"), _word("b")))),
        Cost("`anchor`, steady state", used(call.anchor(log, 2**40 - 1, _word("c"), _word("d"))), 55_000),
        Cost("`commit`, no statement", used(call.commit(CID, "")), 30_000),
        Cost("`commit`", used(call.commit(CID, DIGEST)), 30_000),
        Cost("`commit`, statement of 512", used(call.commit(CID, DIGEST * 8))),
        Cost("`commit_for` (EIP-712), first nonces", used(relayed("Commit", DIGEST, word)), 60_000),
        Cost("`commit_for` (EIP-712), steady state", used(relayed("Commit", DIGEST, word + 1)), 60_000),
        Cost(f"`commit_batch` of {BATCH}", batch := used(call.commit_batch(_word("e"), BATCH, _word("f")))),
        Cost(f"&nbsp;&nbsp;per record of a batch of {BATCH}", batch / BATCH, 55),
        Cost("`withdraw`", used(call.withdraw(CID, "taken by mistake"))),
        Cost("`withdraw_for` (EIP-712)", used(relayed("Withdraw", "taken by mistake", word + 2))),
        Cost("`invalidate_nonces`", used(call.invalidate_nonces(1, 3))),
        Cost("`publish_soft_binding`", used(call.publish_soft_binding("com.example.pdq.1", CID, DIGEST))),
    ]


def to_text(costs: list[Cost]) -> str:
    """GAS.md for these costs."""
    rows = []
    for cost in costs:
        gas = f"{cost.gas:,}" if isinstance(cost.gas, int) else f"{cost.gas:.1f}"
        rows.append(f"| {cost.call} | {gas} | {f'{cost.target:,}' if cost.target else ''} |")
    return _HEAD + "\n".join(rows) + "\n" + _FOOT


def main(arguments: list[str] | None = None) -> int:
    """Write (or with ``--check`` compare) GAS.md; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.gas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when they differ")
    options = parser.parse_args(arguments)
    text = to_text(measure())
    if options.check:
        return 0 if OUTPUT.exists() and OUTPUT.read_text("utf-8") == text else 1
    OUTPUT.write_text(text, "utf-8")
    return 0


def _word(label: str) -> bytes:
    """32 fixed bytes without a zero among them."""
    return bytes(byte or 1 for byte in hashlib.sha256(label.encode()).digest())


if __name__ == "__main__":
    sys.exit(main())
