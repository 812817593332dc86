"""A real EVM in this process (py-evm through eth-tester) with the contract deployed from its artifact."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import Any

import eth_abi
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from web3 import EthereumTesterProvider, Web3

import contracts

# py-evm and eth-account raise it to 100,000, at which deeply nested JSON, in any test that shares the process,
# crashes the interpreter instead of raising RecursionError
sys.setrecursionlimit(min(sys.getrecursionlimit(), 10_000))

#: A CIDv1 as it occurs (raw, sha2-256, base32), 59 characters.
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

_TYPES = {
    "Commit": ("commitData", "commit_for"),
    "Withdraw": ("reason", "withdraw_for"),
}


@pytest.fixture(scope="session")
def _deployed() -> tuple[Web3, Any, EthereumTester]:
    tester = EthereumTester(PyEVMBackend())
    web3 = Web3(EthereumTesterProvider(tester))
    artifact = contracts.media_ledger()
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    receipt = web3.eth.wait_for_transaction_receipt(
        factory.constructor().transact({"from": web3.eth.accounts[0]})
    )
    return web3, web3.eth.contract(receipt["contractAddress"], abi=artifact.abi), tester


@pytest.fixture
def web3(_deployed: tuple[Web3, Any, EthereumTester]) -> Iterator[Web3]:
    """The chain; what a test does to it is undone afterwards."""
    snapshot = _deployed[2].take_snapshot()
    yield _deployed[0]
    _deployed[2].revert_to_snapshot(snapshot)


@pytest.fixture
def tester(web3: Web3, _deployed: tuple[Web3, Any, EthereumTester]) -> EthereumTester:
    """Time travel and the like."""
    return _deployed[2]


@pytest.fixture
def ledger(web3: Web3, _deployed: tuple[Web3, Any, EthereumTester]) -> Any:
    """The deployed contract."""
    return _deployed[1]


@pytest.fixture
def alice(web3: Web3) -> str:
    """A funded account."""
    return web3.eth.accounts[1]


@pytest.fixture
def bob(web3: Web3) -> str:
    """Another funded account."""
    return web3.eth.accounts[2]


@pytest.fixture(scope="session")
def camera() -> LocalAccount:
    """A key that signs and owns no ether."""
    return Account.from_key(keccak(text="a camera's key, for tests"))


@pytest.fixture
def send(web3: Web3) -> Callable[..., Any]:
    """``send(call, sender)``: transact and return the receipt."""

    def transact(call: Any, sender: str, **fields: Any) -> Any:
        # eth-tester would search for the gas limit by trial
        transaction = call.transact({"from": sender, "gas": 500_000, **fields})
        return web3.eth.wait_for_transaction_receipt(transaction)

    return transact


@pytest.fixture
def revert_of(ledger: Any) -> Callable[..., tuple[str, tuple[Any, ...]]]:
    """``revert_of(call, sender)``: the call fails with a custom error; its name and values."""
    by_selector = {}
    for entry in ledger.abi:
        if entry["type"] == "error":
            types = [parameter["type"] for parameter in entry["inputs"]]
            by_selector[keccak(text=f"{entry['name']}({','.join(types)})")[:4]] = (entry["name"], types)

    def check(call: Any, sender: str) -> tuple[str, tuple[Any, ...]]:
        with pytest.raises(TransactionFailed) as caught:
            call.call({"from": sender})
        # eth-tester hands the returned bytes over as text: "execution reverted: b'...'"
        data = ast.literal_eval(str(caught.value).removeprefix("execution reverted: "))
        name, types = by_selector[data[:4]]
        return name, eth_abi.decode(types, data[4:])

    return check


@pytest.fixture
def reverts(revert_of: Callable[..., tuple[str, tuple[Any, ...]]]) -> Callable[..., None]:
    """``reverts(call, sender, "Name", values)``: the call fails with exactly this custom error."""

    def check(call: Any, sender: str, name: str, values: tuple[Any, ...]) -> None:
        assert revert_of(call, sender) == (name, values)

    return check


@pytest.fixture
def signed(web3: Web3, ledger: Any) -> Callable[..., dict[str, Any]]:
    """Sign a ``Commit`` or ``Withdraw`` by EIP-712; returns the relayed call's arguments by name."""

    def sign(key: LocalAccount, kind: str, text: str, nonce: int, deadline: int, **other: Any) -> dict:
        label = _TYPES[kind][0]
        message = {
            "recorder": key.address,
            "assetCid": CID,
            label: text,
            "nonce": nonce,
            "deadline": deadline,
        }
        domain = {
            "name": "MediaLedger",
            "version": "1",
            "chainId": web3.eth.chain_id,
            "verifyingContract": ledger.address,
            **other,
        }
        fields = [("recorder", "address"), ("assetCid", "string"), (label, "string")]
        fields += [("nonce", "uint256"), ("deadline", "uint256")]
        types = {kind: [{"name": name, "type": kind_} for name, kind_ in fields]}
        signature = Account.sign_typed_data(key.key, domain, types, message)
        return {
            **message,
            "v": signature.v,
            "r": signature.r.to_bytes(32, "big"),
            "s": signature.s.to_bytes(32, "big"),
        }

    return sign
