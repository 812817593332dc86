"""Proofs of chain state: block headers, Merkle-Patricia tries, and a contract's storage; no network.

Sources: Ethereum yellow paper, section 4.3 (headers) and appendix D (tries); EIP-1186 (``eth_getProof``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_utils.crypto import keccak

from provenance.errors import ChainError

MAX_NODES = 128
MAX_NODE_BYTES = 4096
MAX_HEADER_BYTES = 4096

#: A header's fields in the order in which they are hashed. Forks append; none is ever left out in between.
_HEADER_FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",  # London
    "withdrawalsRoot",  # Shanghai
    "blobGasUsed",  # Cancun
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",  # Prague
    "blockAccessListHash",  # Amsterdam
    "slotNumber",
)
_QUANTITIES = {
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "baseFeePerGas",
    "blobGasUsed",
    "excessBlobGas",
    "slotNumber",
}
_OLDEST_FIELDS = 15


@dataclass(frozen=True)
class Header:
    """What a block's hash commits to, as far as it matters here.

    Attributes:
        hash: 32 bytes, the keccak256 of ``encoded``.
        number: height.
        timestamp: Unix seconds.
        state_root: root of the state trie after this block.
        encoded: the RLP that hashes to ``hash``.
    """

    hash: bytes
    number: int
    timestamp: int
    state_root: bytes
    encoded: bytes


@dataclass(frozen=True)
class Account:
    """An account as the state trie holds it."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


@dataclass(frozen=True)
class StorageProof:
    """Trie nodes that lead from a state root to one storage slot of one account (EIP-1186)."""

    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]


def decode_header(encoded: bytes) -> Header:
    """Read a block header's RLP.

    Raises:
        ChainError: not a header.
    """
    fields = _rlp(encoded, MAX_HEADER_BYTES)
    if (
        not isinstance(fields, list)
        or not _OLDEST_FIELDS <= len(fields) <= len(_HEADER_FIELDS) + 8
        or not all(isinstance(field, bytes) for field in fields)
        or len(fields[3]) != 32
        or len(fields[8]) > 8
        or len(fields[11]) > 8
    ):
        raise ChainError("the proof's block header is malformed", hint="the proof was damaged or made up")
    return Header(
        hash=keccak(encoded),
        number=int.from_bytes(fields[8], "big"),
        timestamp=int.from_bytes(fields[11], "big"),
        state_root=fields[3],
        encoded=encoded,
    )


def encode_header(block: Mapping[str, Any]) -> bytes:
    """RLP of a block that a node gave as JSON (hex strings).

    Raises:
        ChainError: the fields do not hash to the block's stated hash. The node lies, or the chain has headers
            of its own kind.
    """
    names = list(_HEADER_FIELDS[:_OLDEST_FIELDS])
    for name in _HEADER_FIELDS[_OLDEST_FIELDS:]:
        if block.get(name) is None:
            break
        names.append(name)
    try:
        claimed = bytes.fromhex(block["hash"].removeprefix("0x"))
        fields = [_field(name, block[name]) for name in names]
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise ChainError(f"a block without a proper {error}") from error
    encoded = bytes(rlp.encode(fields))
    if keccak(encoded) != claimed:
        raise ChainError(
            f"the fields of block {str(block.get('number'))[:20]} do not hash to the hash stated for it",
            hint="the node lies, or the chain's headers are of another kind; ask another node",
        )
    return encoded


def account_in_state(state_root: bytes, address: bytes, nodes: Sequence[bytes]) -> Account | None:
    """The account at ``address`` (20 bytes) in the state with this root; None when it has none.

    Raises:
        ChainError: the nodes prove nothing about it.
    """
    leaf = trie_get(state_root, keccak(address), nodes)
    if leaf is None:
        return None
    fields = _rlp(leaf, MAX_NODE_BYTES)
    if not isinstance(fields, list) or len(fields) != 4 or not all(isinstance(f, bytes) for f in fields):
        raise ChainError("the account in the proof is malformed")
    return Account(
        nonce=int.from_bytes(fields[0], "big"),
        balance=int.from_bytes(fields[1], "big"),
        storage_root=fields[2],
        code_hash=fields[3],
    )


def storage_value(storage_root: bytes, slot: bytes, nodes: Sequence[bytes]) -> int:
    """The value in ``slot`` (32 bytes) of the storage with this root; 0 when nothing is stored.

    Raises:
        ChainError: the nodes prove nothing about it.
    """
    leaf = trie_get(storage_root, keccak(slot), nodes)
    if leaf is None:
        return 0
    value = _rlp(leaf, MAX_NODE_BYTES)
    if not isinstance(value, bytes) or len(value) > 32:
        raise ChainError("the stored value in the proof is malformed")
    return int.from_bytes(value, "big")


def trie_get(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """Look ``key`` up in the trie with this root by the given nodes; None when the nodes prove it absent.

    Raises:
        ChainError: a node is missing, superfluous, malformed, or does not have the hash its parent states.
    """
    if len(nodes) > MAX_NODES or any(len(node) > MAX_NODE_BYTES for node in nodes):
        raise ChainError("a state proof over the limits on its size")
    if not nodes:
        if root == keccak(rlp.encode(b"")):
            return None
        raise ChainError("an empty state proof")
    path = [nibble for byte in key for nibble in (byte >> 4, byte & 15)]
    remaining = list(nodes)
    node: Any = _next_node(root, remaining)
    while True:
        if node == b"":
            result = None
            break
        if not isinstance(node, list) or len(node) not in (2, 17):
            raise ChainError("a node of the state proof is malformed")
        if len(node) == 17:
            if not path:
                result = node[16] or None
                break
            node = _child(node[path.pop(0)], remaining)
            continue
        shared, is_leaf = _compact(node[0])
        if is_leaf:
            result = node[1] if shared == path else None
            break
        if path[: len(shared)] != shared:
            result = None
            break
        path = path[len(shared) :]
        node = _child(node[1], remaining)
    if remaining:
        raise ChainError("the state proof has superfluous nodes")
    if result is not None and not isinstance(result, bytes):
        raise ChainError("a node of the state proof is malformed")
    return result


def _child(reference: Any, remaining: list[bytes]) -> Any:
    """What a branch or extension points at: nothing, a hash of the next node, or a short node itself."""
    if reference == b"" or isinstance(reference, list):
        return reference
    if isinstance(reference, bytes) and len(reference) == 32:
        return _next_node(reference, remaining)
    raise ChainError("a node of the state proof is malformed")


def _next_node(expected: bytes, remaining: list[bytes]) -> Any:
    if not remaining:
        raise ChainError("the state proof is incomplete")
    node = remaining.pop(0)
    if keccak(node) != expected:
        raise ChainError(
            "the state proof does not lead to the block's state root",
            hint="the node's answer is wrong; ask another node",
        )
    return _rlp(node, MAX_NODE_BYTES)


def _compact(encoded: Any) -> tuple[list[int], bool]:
    """Hex-prefix encoding (yellow paper, appendix C): the nibbles, and whether the node is a leaf."""
    if not isinstance(encoded, bytes) or not encoded or encoded[0] >> 4 > 3:
        raise ChainError("a node of the state proof is malformed")
    nibbles = [nibble for byte in encoded for nibble in (byte >> 4, byte & 15)]
    return nibbles[1 if nibbles[0] & 1 else 2 :], bool(nibbles[0] & 2)


def _field(name: str, value: str) -> bytes:
    digits = value.removeprefix("0x")
    if len(digits) > 2 * MAX_HEADER_BYTES:
        raise ValueError(name)
    if name in _QUANTITIES:
        number = int(digits, 16)
        return number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes.fromhex(digits)


def _rlp(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise ChainError("a state proof over the limits on its size")
    try:
        return _plain(rlp.decode(data))
    except (rlp.exceptions.RLPException, RecursionError, ValueError, TypeError) as error:
        raise ChainError("a part of the state proof is malformed") from error


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else bytes(value)
