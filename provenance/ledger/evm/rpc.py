"""One JSON-RPC node: bounded in time and size, every answer checked, every failure a ChainError.

A node is not believed: numbers and hashes are parsed strictly, a block's fields must hash to its hash, and
what matters is proved from the state root (:mod:`provenance.ledger.evm.proof`).
"""

from __future__ import annotations

import http.client
import re
import urllib.error
from typing import Any
from urllib.parse import urlsplit

from eth_utils.address import to_checksum_address
from web3.exceptions import Web3Exception

from provenance.errors import ChainError, UsageError
from provenance.ledger.evm.proof import MAX_NODES, Header, StorageProof, decode_header, encode_header
from provenance.ledger.evm.recursion import restore_recursion_limit
from provenance.ledger.evm.transport import BoundedProvider

restore_recursion_limit()

DEFAULT_TIMEOUT = 10.0
MAX_LOGS = 10_000
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Refused(ChainError):
    """The node answered with a JSON-RPC error.

    Attributes:
        code: JSON-RPC error code, 0 where there was none.
        reason: the node's words.
        data: what a reverted call returned, or empty.
    """

    def __init__(self, label: str, method: str, code: int, reason: str, data: bytes) -> None:
        super().__init__(f"{label} refused {method}: {reason}", hint="")
        self.code = code
        self.reason = reason
        self.data = data


class Node:
    """A node that was reached and is on the chain it should be.

    Attributes:
        url: as given; may hold an access key and is never shown.
        label: host and port, for messages.
        chain_id: EIP-155 id of its chain.
    """

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{url[:40]!r} is no http(s) URL of a node", hint="example: http://127.0.0.1:8545"
            )
        self.url = url
        self.label = parts.hostname + (f":{parts.port}" if parts.port else "")
        self._provider = BoundedProvider(url, timeout)
        self.chain_id = 0

    @classmethod
    def connect(cls, url: str, *, chain_id: int | None = None, timeout: float = DEFAULT_TIMEOUT) -> Node:
        """Reach a node and ask for its chain.

        Args:
            url: ``http://`` or ``https://`` JSON-RPC endpoint.
            chain_id: the chain it must be on; None takes any.
            timeout: seconds for one answer, start to end.

        Raises:
            ChainError: not reachable, no Ethereum node, or on another chain.
            UsageError: no http(s) URL.
        """
        node = cls(url, timeout=timeout)
        node.chain_id = _quantity(node.request("eth_chainId"), "eth_chainId")
        if chain_id is not None and node.chain_id != chain_id:
            raise ChainError(
                f"{node.label} is on chain {node.chain_id}, expected chain {chain_id}",
                hint="check --rpc and --chain-id (or --network): they name different chains",
            )
        return node

    def request(self, method: str, *parameters: Any) -> Any:
        """One call; the ``result`` member of the answer.

        Raises:
            Refused: the node answered with an error.
            ChainError: not reachable, too slow, too large, or no JSON-RPC.
        """
        try:
            answer: Any = self._provider.make_request(method, list(parameters))
        except urllib.error.HTTPError as error:
            raise ChainError(
                f"{self.label} answered HTTP {error.code}", hint="check the URL and its access key"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
                raise ChainError(
                    f"{self.label} did not answer in time",
                    hint="try again later, or name another node with --rpc",
                ) from error
            raise ChainError(
                f"cannot reach a node at {self.label}",
                hint="start it, or check the address given with --rpc",
            ) from error
        except (ValueError, TypeError, Web3Exception, RecursionError) as error:
            raise ChainError(
                f"{self.label} did not answer {method} in JSON-RPC",
                hint="is this the URL of an Ethereum node?",
            ) from error
        if not isinstance(answer, dict):
            raise self._nonsense(method)
        if answer.get("error") is not None:
            raise self._refusal(method, answer["error"])
        if "result" not in answer:
            raise self._nonsense(method)
        return answer["result"]

    def header(self, block: int | str | bytes) -> Header | None:
        """A block by height, tag (``latest``, ``finalized``) or hash; its hash is recomputed from its fields.

        Returns:
            None when the node has no such block.
        """
        if isinstance(block, bytes):
            answer = self.request("eth_getBlockByHash", "0x" + block.hex(), False)
        else:
            answer = self.request("eth_getBlockByNumber", _block(block), False)
        if answer is None:
            return None
        if not isinstance(answer, dict):
            raise self._nonsense("eth_getBlockByNumber")
        header = decode_header(encode_header(answer))
        if (isinstance(block, bytes) and header.hash != block) or (
            isinstance(block, int) and header.number != block
        ):
            raise ChainError(f"{self.label} answered with another block than the one asked for")
        return header

    def latest(self) -> Header:
        """The newest block."""
        header = self.header("latest")
        if header is None:
            raise self._nonsense("eth_getBlockByNumber")
        return header

    def call(self, to: str, data: bytes, block: int | str = "latest", sender: str | None = None) -> bytes:
        """``eth_call``; raises :class:`Refused` with the returned data when it reverts."""
        transaction = {"to": to, "data": "0x" + data.hex(), **({"from": sender} if sender else {})}
        return _data(self.request("eth_call", transaction, _block(block)), "eth_call")

    def code(self, address: str, block: int | str = "latest") -> bytes:
        return _data(self.request("eth_getCode", address, _block(block)), "eth_getCode")

    def balance(self, address: str) -> int:
        """In wei."""
        return _quantity(self.request("eth_getBalance", address, "latest"), "eth_getBalance")

    def transaction_count(self, address: str, block: str = "latest") -> int:
        """The next nonce: counting mined transactions (``latest``) or waiting ones too (``pending``)."""
        count = self.request("eth_getTransactionCount", address, block)
        return _quantity(count, "eth_getTransactionCount")

    def proof(self, address: str, slot: bytes, block: int) -> StorageProof:
        """``eth_getProof`` for one slot, unverified."""
        answer = self.request("eth_getProof", address, ["0x" + slot.hex()], hex(block))
        try:
            account, storage = answer["accountProof"], answer["storageProof"][0]["proof"]
        except (TypeError, KeyError, IndexError) as error:
            raise self._nonsense("eth_getProof") from error
        lists = [account, storage]
        if any(not isinstance(nodes, list) or len(nodes) > MAX_NODES for nodes in lists):
            raise self._nonsense("eth_getProof")
        decoded = [tuple(_data(node, "eth_getProof") for node in nodes) for nodes in lists]
        return StorageProof(account=decoded[0], storage=decoded[1])

    def receipt(self, transaction_hash: bytes) -> dict[str, Any] | None:
        """A mined transaction's receipt, with ``status``, ``blockNumber``, ``gasUsed`` as numbers and
        ``blockHash`` as bytes; None while it is not mined."""
        answer = self.request("eth_getTransactionReceipt", "0x" + transaction_hash.hex())
        if answer is None:
            return None
        try:
            block = answer["blockNumber"]
            if block is None:
                return None
            return {
                "status": _quantity(answer["status"], "status"),
                "blockNumber": _quantity(block, "blockNumber"),
                "blockHash": _data(answer["blockHash"], "blockHash", 32),
                "gasUsed": _quantity(answer["gasUsed"], "gasUsed"),
                "contractAddress": answer.get("contractAddress"),
            }
        except (TypeError, KeyError, AttributeError) as error:
            raise self._nonsense("eth_getTransactionReceipt") from error

    def knows(self, transaction_hash: bytes) -> bool:
        """Whether the node has this transaction, mined or waiting."""
        return self.request("eth_getTransactionByHash", "0x" + transaction_hash.hex()) is not None

    def logs(self, address: str, topics: list[str | None], first: int, last: int) -> list[dict[str, Any]]:
        """Events; each with ``topics`` and ``data`` as bytes and ``blockNumber`` as a number."""
        query = {"address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
        answer = self.request("eth_getLogs", query)
        if not isinstance(answer, list) or len(answer) > MAX_LOGS:
            raise self._nonsense("eth_getLogs")
        try:
            return [
                {
                    "topics": [_data(topic, "topic", 32) for topic in entry["topics"]],
                    "data": _data(entry["data"], "data"),
                    "blockNumber": _quantity(entry["blockNumber"], "blockNumber"),
                    "transactionHash": _data(entry["transactionHash"], "transactionHash", 32),
                }
                for entry in answer
            ]
        except (TypeError, KeyError) as error:
            raise self._nonsense("eth_getLogs") from error

    def quantity(self, method: str, *parameters: Any) -> int:
        """A call whose result is a number."""
        return _quantity(self.request(method, *parameters), method)

    def _nonsense(self, method: str) -> ChainError:
        return ChainError(
            f"{self.label} gave a malformed answer to {method}", hint="ask another node with --rpc"
        )

    def _refusal(self, method: str, error: Any) -> ChainError:
        if not isinstance(error, dict):
            return self._nonsense(method)
        code, data = error.get("code"), error.get("data")
        reason = "".join(c for c in str(error.get("message", ""))[:300] if c.isprintable())
        if isinstance(data, dict):
            data = data.get("data")
        returned = bytes.fromhex(data[2:]) if isinstance(data, str) and _DATA.fullmatch(data) else b""
        return Refused(self.label, method, code if isinstance(code, int) else 0, reason, returned)


def checked_address(text: Any) -> str:
    """An address with its EIP-55 checksum.

    Raises:
        UsageError: not an address, or mixed case with a wrong checksum.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise UsageError(f"{str(text)[:60]!r} is no address", hint="expected 0x and 40 hexadecimal digits")
    proper = to_checksum_address(text)
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != proper:
        raise UsageError(f"address {text} has a wrong checksum", hint="a digit was mistyped; copy it again")
    return str(proper)


def _block(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block


def _quantity(value: Any, what: str) -> int:
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ChainError(f"the node's {what} is no number", hint="ask another node with --rpc")
    return int(value, 16)


def _data(value: Any, what: str, size: int | None = None) -> bytes:
    if not isinstance(value, str) or not _DATA.fullmatch(value) or (size and len(value) != 2 + 2 * size):
        raise ChainError(f"the node's {what} is malformed", hint="ask another node with --rpc")
    return bytes.fromhex(value[2:])
