"""The MediaLedger contract as this client sees it: encoding of calls, its storage, its errors and events."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.crypto import keccak

import contracts
from provenance.errors import ChainError, UsageError
from provenance.ledger.evm.rpc import Node, Refused, checked_address

ZERO_HASH = bytes(32)


@dataclass(frozen=True)
class Head:
    """The last anchor of a log: its size, how many there were, and when (block height, Unix seconds)."""

    size: int
    count: int
    block_number: int
    timestamp: int


@dataclass(frozen=True)
class CommitEvent:
    """A single record (ERC-7053) found on the chain."""

    recorder: str
    data: str
    block_number: int
    transaction_hash: bytes


class MediaLedger:
    """The contract at an address, on a node. :meth:`at` makes sure that it is there."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = checked_address(address)

    @classmethod
    def at(cls, node: Node, address: str) -> MediaLedger:
        """Open the contract, comparing the code at ``address`` with the published bytecode.

        Raises:
            ChainError: no contract there, or another one.
        """
        ledger = cls(node, address)
        code = node.code(ledger.address)
        if not code:
            raise ChainError(
                f"no contract at {ledger.address} on chain {node.chain_id}",
                hint="check --contract and the network; `veilmark ledger deploy` makes a new one",
            )
        if code != contracts.media_ledger().runtime_bytecode:
            raise ChainError(
                f"the contract at {ledger.address} on chain {node.chain_id} is not this MediaLedger",
                hint="check --contract; it may be an older version or something else",
            )
        return ledger

    def head(self, owner: str, log_id: bytes, block: int | str = "latest") -> Head:
        return Head(*self._read("head", owner, log_id, block=block))

    def anchored_root(
        self, owner: str, log_id: bytes, size: int, block: int | str = "latest"
    ) -> bytes | None:
        """The root anchored for this size, as the node says; None when there is none."""
        (root,) = self._read("anchored_root", owner, log_id, size, block=block)
        return None if root == ZERO_HASH else bytes(root)

    def withdrawal(self, recorder: str, cid: str) -> tuple[int, int] | None:
        """Block and time at which ``recorder`` withdrew what it said about ``cid``, or None."""
        block, timestamp = self._read("withdrawal", recorder, cid)
        return (block, timestamp) if block else None

    def anchor_block(self, owner: str, log_id: bytes, size: int, last: int) -> int | None:
        """The block of the anchor event for this size, or None where the node's logs do not reach."""
        words = ["0x" + word.hex() for word in (_word(owner), log_id, size.to_bytes(32, "big"))]
        topics: list[str | None] = ["0x" + event_topic("Anchor").hex(), *words]
        try:
            found = self.node.logs(self.address, topics, 0, last)
        except Refused:
            return None
        return found[-1]["blockNumber"] if found else None

    def commits(
        self, cid: str, recorder: str | None = None, *, first: int = 0, last: int | None = None
    ) -> list[CommitEvent]:
        """Single records for an identifier, oldest first, as the node says.

        Raises:
            ChainError: also when the node limits the range of blocks; give ``first`` and ``last`` then.
        """
        topics = ["0x" + event_topic("Commit").hex(), None, "0x" + keccak(text=cid).hex()]
        if recorder is not None:
            topics[1] = "0x" + _word(recorder).hex()
        newest = self.node.latest().number if last is None else last
        events = []
        for entry in self.node.logs(self.address, topics, first, newest):
            try:
                (data,) = decode(["string"], entry["data"])
                who = checked_address("0x" + entry["topics"][1][12:].hex())
            except (DecodingError, IndexError, ValueError) as error:
                raise ChainError(f"{self.node.label} gave a malformed event") from error
            events.append(CommitEvent(who, data, entry["blockNumber"], entry["transactionHash"]))
        return events

    def _read(self, name: str, *arguments: Any, block: int | str = "latest") -> tuple[Any, ...]:
        try:
            returned = self.node.call(self.address, encode_call(name, *arguments), block)
        except Refused as refused:
            raise ChainError(
                f"{self.node.label} could not call {name}: {explain_revert(refused.data) or refused.reason}",
                hint="is the block too old for this node, or the contract another one?",
            ) from refused
        types = [output["type"] for output in _entry("function", name)["outputs"]]
        try:
            return tuple(decode(types, returned))
        except (DecodingError, OverflowError) as error:
            raise ChainError(
                f"{self.node.label} gave a malformed answer to {name}",
                hint="check that --contract is a MediaLedger, or ask another node",
            ) from error


def log_id_of(origin: str) -> bytes:
    """How a log is called on the chain: SHA-256 of its origin line."""
    return hashlib.sha256(origin.encode()).digest()


def root_slot(owner: str, log_id: bytes, size: int) -> bytes:
    """Storage slot that holds the root anchored for a size (layout in MediaLedger.vy)."""
    slot = contracts.media_ledger().storage["roots"].to_bytes(32, "big")
    for key in (_word(owner), log_id, size.to_bytes(32, "big")):
        slot = keccak(slot + key)
    return slot


def code_hash() -> bytes:
    """keccak256 of the code that lies at the address of every deployed MediaLedger."""
    return keccak(contracts.media_ledger().runtime_bytecode)


def encode_call(name: str, *arguments: Any) -> bytes:
    """Call data.

    Raises:
        UsageError: an argument does not fit.
    """
    types = [parameter["type"] for parameter in _entry("function", name)["inputs"]]
    try:
        body = encode(types, arguments)
    except (EncodingError, TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be called with these values: {error}") from error
    return keccak(text=f"{name}({','.join(types)})")[:4] + body


def event_topic(name: str) -> bytes:
    """Topic 0 of an event."""
    return keccak(text=f"{name}({','.join(part['type'] for part in _entry('event', name)['inputs'])})")


def explain_revert(data: bytes) -> str:
    """The contract's custom error with its values, as ``Name(value, ...)``; empty when it is none of them."""
    for entry in contracts.media_ledger().abi:
        if entry["type"] != "error":
            continue
        types = [parameter["type"] for parameter in entry["inputs"]]
        if data[:4] == keccak(text=f"{entry['name']}({','.join(types)})")[:4]:
            try:
                values = decode(types, data[4:])
            except DecodingError:
                return ""
            texts = ["0x" + value.hex() if isinstance(value, bytes) else str(value) for value in values]
            names = [parameter["name"] for parameter in entry["inputs"]]
            return f"{entry['name']}({', '.join(f'{n} {t}' for n, t in zip(names, texts, strict=True))})"
    return ""


@cache
def _entry(kind: str, name: str) -> dict[str, Any]:
    return next(
        entry for entry in contracts.media_ledger().abi if entry["type"] == kind and entry["name"] == name
    )


def _word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address.removeprefix("0x"))
