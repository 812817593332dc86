"""Where a checkpoint is anchored, as it travels in a receipt; with a proof that holds offline.

A claim is JSON and untrusted: chain, contract and owner count only when they are those of the verifier's own
trust store, and the proof only against a block hash that the verifier trusts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.errors import ChainError, ReceiptError, TamperedError, UsageError
from provenance.ledger.evm.contract import code_hash, root_slot
from provenance.ledger.evm.proof import (
    MAX_HEADER_BYTES,
    MAX_NODE_BYTES,
    MAX_NODES,
    Header,
    StorageProof,
    account_in_state,
    decode_header,
    storage_value,
)
from provenance.ledger.evm.rpc import checked_address

CLAIM_TYPE = "veilmark.anchor/1"


@dataclass(frozen=True)
class AnchorKey:
    """Which anchor: everything that the verifier knows from its own trust store and the checkpoint.

    Attributes:
        chain_id: EIP-155 id.
        contract: address of the MediaLedger.
        owner: address that anchors the log.
        log_id: 32 bytes, SHA-256 of the log's origin.
        size: size of the checkpoint.
        root: 32 bytes, RFC 9162 root of the checkpoint.

    Raises:
        UsageError: an address is malformed.
    """

    chain_id: int
    contract: str
    owner: str
    log_id: bytes
    size: int
    root: bytes

    def __post_init__(self) -> None:
        # however they were written, addresses are compared in one spelling
        object.__setattr__(self, "contract", checked_address(self.contract))
        object.__setattr__(self, "owner", checked_address(self.owner))


@dataclass(frozen=True)
class AnchorClaim:
    """That a checkpoint was anchored by a certain block.

    Attributes:
        key: which anchor.
        block_number, block_hash, block_time: the block (height, 32 bytes, Unix seconds).
        transaction_hash: 32 bytes, or None where it is not known.
        header: RLP of the block's header.
        proof: trie nodes from the header's state root to the anchored root.
    """

    key: AnchorKey
    block_number: int
    block_hash: bytes
    block_time: int
    transaction_hash: bytes | None
    header: bytes
    proof: StorageProof

    def verify(self, trusted_block_hash: bytes) -> Header:
        """Check the claim against a block hash the verifier trusts; no network.

        Returns:
            the block's header, whose time is the anchored time.

        Raises:
            ChainError: the claim is about another block than the trusted one, or proves nothing.
            TamperedError: that block holds another root for this size.
        """
        header = decode_header(self.header)
        if header.hash != trusted_block_hash:
            raise ChainError(
                f"the receipt's proof is for block 0x{header.hash.hex()}, not for the trusted one",
                hint=f"get the hash of block {header.number} from a source you trust, or name a node with --rpc",
            )
        if verify_storage(header, self.key, self.proof) is None:
            raise ChainError("the receipt's proof shows that nothing was anchored", hint="anchor it again")
        return header

    def to_json(self) -> dict[str, Any]:
        key = self.key
        return {
            "type": CLAIM_TYPE,
            "chain_id": key.chain_id,
            "contract": key.contract,
            "owner": key.owner,
            "log_id": key.log_id.hex(),
            "size": key.size,
            "root": key.root.hex(),
            "block_number": self.block_number,
            "block_hash": self.block_hash.hex(),
            "block_time": self.block_time,
            "transaction": self.transaction_hash.hex() if self.transaction_hash else None,
            "header": self.header.hex(),
            "account_proof": [node.hex() for node in self.proof.account],
            "storage_proof": [node.hex() for node in self.proof.storage],
        }

    @classmethod
    def from_json(cls, data: Any) -> AnchorClaim:
        """Read what :meth:`to_json` wrote.

        Raises:
            ReceiptError: malformed, or over the limits.
        """
        try:
            if data["type"] != CLAIM_TYPE:
                raise ValueError(f"expected type {CLAIM_TYPE}")
            transaction = data["transaction"]
            return cls(
                key=AnchorKey(
                    chain_id=_number(data["chain_id"]),
                    contract=data["contract"],
                    owner=data["owner"],
                    log_id=_bytes(data["log_id"], 32),
                    size=_number(data["size"]),
                    root=_bytes(data["root"], 32),
                ),
                block_number=_number(data["block_number"]),
                block_hash=_bytes(data["block_hash"], 32),
                block_time=_number(data["block_time"]),
                transaction_hash=None if transaction is None else _bytes(transaction, 32),
                header=_bytes(data["header"], None, MAX_HEADER_BYTES),
                proof=StorageProof(_nodes(data["account_proof"]), _nodes(data["storage_proof"])),
            )
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise ReceiptError(f"the receipt's anchor is malformed: {error}") from error


def verify_storage(header: Header, key: AnchorKey, proof: StorageProof) -> bytes | None:
    """What the state after this block holds for an anchor, by proof; the contract's code is checked too.

    Returns:
        the root, or None when it is proved that none was anchored.

    Raises:
        ChainError: the proof is wrong, or there is another contract at the address.
        TamperedError: another root is anchored for this size: the log's owner showed two histories.
    """
    account = account_in_state(header.state_root, bytes.fromhex(key.contract[2:]), proof.account)
    if account is None or account.code_hash != code_hash():
        raise ChainError(
            f"in block {header.number} there is no MediaLedger at {key.contract}",
            hint="check --contract and the network, or take a later block",
        )
    slot = root_slot(key.owner, key.log_id, key.size)
    value = storage_value(account.storage_root, slot, proof.storage)
    if value == 0:
        return None
    if value != int.from_bytes(key.root, "big"):
        raise TamperedError(
            f"the chain holds another root for size {key.size} of this log than the receipt",
            hint="the log's owner anchored a different history; do not rely on this receipt",
        )
    return key.root


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise ValueError("expected a whole number")
    return value


def _bytes(value: Any, size: int | None, limit: int = 64) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * limit:
        raise ValueError("expected hexadecimal digits")
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise ValueError(f"expected {size} bytes")
    return data


def _nodes(value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_NODES:
        raise ValueError("expected a list of trie nodes")
    return tuple(_bytes(node, None, MAX_NODE_BYTES) for node in value)
