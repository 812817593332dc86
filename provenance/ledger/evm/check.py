"""Is a checkpoint anchored? Proved from the chain's state, and said with whose word it rests on.

1. A block hash the verifier trusts: the answer is proved, whoever transports the proof.
2. Several nodes that agree on the block: proved against the block that all of them name.
3. One node: "according to" that node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from provenance.errors import ChainError, UsageError
from provenance.ledger.evm.claim import AnchorClaim, AnchorKey, verify_storage
from provenance.ledger.evm.contract import root_slot
from provenance.ledger.evm.proof import Header, StorageProof
from provenance.ledger.evm.rpc import DEFAULT_TIMEOUT, Node


class Basis(StrEnum):
    """What a finding rests on."""

    TRUSTED_BLOCK = "trusted-block"
    AGREEMENT = "agreement"
    ONE_NODE = "one-node"


class Found(StrEnum):
    """What was found."""

    ANCHORED = "anchored"
    PENDING = "pending"
    ABSENT = "absent"


@dataclass(frozen=True)
class AnchorCheck:
    """The finding.

    Attributes:
        found: anchored; pending (in a block with too few confirmations); or absent.
        basis: a trusted block, agreement of several nodes, or the word of one.
        detail: one sentence for people; names nodes by host.
        block_number, block_hash, block_time: the block whose state was proved; the time (Unix seconds) is an
            upper bound for when the checkpoint was anchored. None when absent or pending.
        nodes: hosts that were asked and agree.
        confirmations: how many the block has, None where no node was asked.
    """

    found: Found
    basis: Basis
    detail: str
    block_number: int | None = None
    block_hash: bytes | None = None
    block_time: int | None = None
    nodes: tuple[str, ...] = ()
    confirmations: int | None = None


def check_anchor(
    key: AnchorKey,
    *,
    rpc: Sequence[str] = (),
    claim: AnchorClaim | None = None,
    trusted_block_hash: bytes | None = None,
    confirmations: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
) -> AnchorCheck:
    """Find out whether a checkpoint is anchored.

    Args:
        key: what should be anchored, by the verifier's own trust store and the checkpoint.
        rpc: nodes to ask; two or more on different hosts or ports are compared.
        claim: the receipt's claim, if it has one; saves asking, proves nothing by itself.
        trusted_block_hash: hash of a block that the verifier knows to be on the chain.
        confirmations: how many blocks, the anchor's own included, make it settled.
        timeout: seconds for one answer.

    Raises:
        ChainError: no node can be reached, a proof is wrong, or the nodes contradict each other.
        TamperedError: another root is anchored for this size.
        UsageError: neither a node nor a trusted block is given.
    """
    if claim is not None and claim.key != key:
        claim = None
    if trusted_block_hash is not None:
        return _by_trusted_block(key, rpc, claim, trusted_block_hash, timeout)
    if not rpc:
        raise UsageError(
            "an anchor can be checked only by asking a node or against a block hash",
            hint="name a node with --rpc (twice or more to compare), or a block hash you trust",
        )
    nodes, silent = _reach(rpc, key.chain_id, timeout)
    return _by_nodes(key, nodes, silent, confirmations, claim)


def fetch_claim(node: Node, key: AnchorKey, block: int, transaction_hash: bytes | None = None) -> AnchorClaim:
    """Get the proof for an anchor at a block from a node, and verify it before handing it out.

    Raises:
        ChainError: the node does not have that state any more, or its proof is wrong, or nothing is anchored.
        TamperedError: another root is anchored.
    """
    header = _header(node, block)
    proof = node.proof(key.contract, root_slot(key.owner, key.log_id, key.size), block)
    if verify_storage(header, key, proof) is None:
        raise ChainError(
            f"block {block} holds no anchor for size {key.size}", hint="wait for a later block and try again"
        )
    return AnchorClaim(
        key, header.number, header.hash, header.timestamp, transaction_hash, header.encoded, proof
    )


def _by_trusted_block(
    key: AnchorKey, rpc: Sequence[str], claim: AnchorClaim | None, trusted: bytes, timeout: float
) -> AnchorCheck:
    if claim is not None and (not rpc or claim.block_hash == trusted):
        return _anchored(key, claim.verify(trusted), Basis.TRUSTED_BLOCK, (), None)
    if not rpc:
        raise UsageError(
            "the receipt carries no proof for this anchor",
            hint="name a node with --rpc to fetch one, or upgrade the receipt with `veilmark ledger upgrade`",
        )
    nodes, _ = _reach(rpc, key.chain_id, timeout)
    failure: ChainError | None = None
    for node in nodes:
        try:
            header = node.header(trusted)
            if header is None:
                raise ChainError(
                    f"{node.label} does not know block 0x{trusted.hex()}",
                    hint="check the hash and the network; the block may have left the chain",
                )
            return _judge(key, header, _proof(node, key, header), Basis.TRUSTED_BLOCK, (node.label,), None)
        except ChainError as error:
            failure = error
    assert failure is not None  # noqa: S101 - _reach gives at least one node
    raise failure


def _by_nodes(
    key: AnchorKey, nodes: list[Node], silent: list[str], confirmations: int, claim: AnchorClaim | None
) -> AnchorCheck:
    basis = Basis.AGREEMENT if len(nodes) > 1 else Basis.ONE_NODE
    labels = tuple(node.label for node in nodes)
    tips = [node.latest() for node in nodes]
    lowest = min(tip.number for tip in tips)
    settled = max(lowest - max(confirmations, 1) + 1, 0)
    # the claim's block, when it is deep enough, dates the anchor earlier than the newest settled block
    height = claim.block_number if claim is not None and claim.block_number <= settled else settled
    header = _agreed_header(nodes, height)
    if claim is not None and height == claim.block_number and header.hash != claim.block_hash:
        height, header = settled, _agreed_header(nodes, settled)  # that block left the chain
    proof = _carried_proof(key, header, claim) or _first_proof(nodes, key, header)
    if proof is None and height != settled:
        height, header = settled, _agreed_header(nodes, settled)
        proof = _first_proof(nodes, key, header)
    if proof is None:
        raise ChainError(
            f"{', '.join(labels)} cannot prove the state of block {height}",
            hint="the node keeps too little history; ask an archive node, or give a trusted block hash",
        )
    check = _judge(key, header, proof, basis, labels, lowest - height + 1, silent)
    if check.found is Found.ABSENT and height < settled:
        return _by_nodes(key, nodes, silent, confirmations, None)
    if check.found is Found.ABSENT and height < lowest:
        newest = _agreed_header(nodes, lowest)
        newest_proof = _first_proof(nodes, key, newest)
        if newest_proof is not None and verify_storage(newest, key, newest_proof) is not None:
            detail = f"in a block of chain {key.chain_id}, with fewer than {confirmations} confirmations"
            return AnchorCheck(Found.PENDING, basis, detail, nodes=labels)
    return check


def _judge(
    key: AnchorKey,
    header: Header,
    proof: StorageProof,
    basis: Basis,
    labels: tuple[str, ...],
    depth: int | None,
    silent: Sequence[str] = (),
) -> AnchorCheck:
    if verify_storage(header, key, proof) is not None:
        return _anchored(key, header, basis, labels, depth, silent)
    detail = f"not anchored on chain {key.chain_id} as of block {header.number}"
    return AnchorCheck(Found.ABSENT, basis, detail, nodes=labels, confirmations=depth)


def _anchored(
    key: AnchorKey,
    header: Header,
    basis: Basis,
    labels: tuple[str, ...],
    depth: int | None,
    silent: Sequence[str] = (),
) -> AnchorCheck:
    moment = datetime.fromtimestamp(header.timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    where = f"anchored on chain {key.chain_id} by block {header.number} ({moment})"
    words = {
        Basis.TRUSTED_BLOCK: "proved against the block hash you trust",
        Basis.AGREEMENT: f"proved; {', '.join(labels)} agree on the block",
        Basis.ONE_NODE: f"according to {', '.join(labels)}",
    }
    detail = f"{where}, {words[basis]}" + (f"; no answer from {', '.join(silent)}" if silent else "")
    return AnchorCheck(
        Found.ANCHORED, basis, detail, header.number, header.hash, header.timestamp, labels, depth
    )


def _reach(rpc: Sequence[str], chain_id: int, timeout: float) -> tuple[list[Node], list[str]]:
    """Nodes that answer, one for each host and port, and the labels of those that do not."""
    nodes: dict[str, Node] = {}
    silent: list[str] = []
    failure: ChainError | None = None
    for url in rpc:
        node = Node(url, timeout=timeout)
        if node.label in nodes:
            continue
        try:
            nodes[node.label] = Node.connect(url, timeout=timeout)
        except ChainError as error:
            silent.append(node.label)
            failure = error
            continue
        found = nodes[node.label].chain_id
        if found != chain_id:
            raise ChainError(
                f"{node.label} is on chain {found}, expected chain {chain_id}",
                hint="check --rpc and --chain-id (or the trusted contract's chain)",
            )
    if not nodes and failure is not None:
        raise failure
    return list(nodes.values()), silent


def _agreed_header(nodes: list[Node], height: int) -> Header:
    headers = [_header(node, height) for node in nodes]
    for node, header in zip(nodes[1:], headers[1:], strict=True):
        if header.hash != headers[0].hash:
            raise ChainError(
                f"{nodes[0].label} and {node.label} disagree about block {height}",
                hint="one of them lies or is on a fork; ask others, or get a block hash from a trusted source",
            )
    return headers[0]


def _header(node: Node, height: int) -> Header:
    header = node.header(height)
    if header is None:
        raise ChainError(f"{node.label} has no block {height}", hint="it is not in sync; ask another node")
    return header


def _proof(node: Node, key: AnchorKey, header: Header) -> StorageProof:
    return node.proof(key.contract, root_slot(key.owner, key.log_id, key.size), header.number)


def _carried_proof(key: AnchorKey, header: Header, claim: AnchorClaim | None) -> StorageProof | None:
    """The receipt's own proof, where it is a right one for this block: the node need not keep old states."""
    if claim is None or claim.block_hash != header.hash:
        return None
    try:
        return claim.proof if verify_storage(header, key, claim.proof) is not None else None
    except ChainError:
        return None


def _first_proof(nodes: list[Node], key: AnchorKey, header: Header) -> StorageProof | None:
    """A proof from the first node that can give a right one; None when none has that state."""
    wrong: ChainError | None = None
    for node in nodes:
        try:
            proof = _proof(node, key, header)
        except ChainError:
            continue
        try:
            verify_storage(header, key, proof)
        except ChainError as error:
            wrong = error
            continue
        return proof
    if wrong is not None:
        raise wrong
    return None
