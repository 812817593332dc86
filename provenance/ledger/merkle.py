"""RFC 9162 Merkle trees over SHA-256: hashes, proofs, and their verification.

Nothing here stores anything. Proofs are built from a function that returns the hash of any *perfect* subtree,
``node(level, index)``: the subtree over leaves ``[index << level, (index + 1) << level)``.
:mod:`provenance.ledger.embedded.nodes` provides it from a database, :mod:`provenance.ledger.tiles` from static files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from provenance.errors import ReceiptError, TamperedError

HASH_BYTES = 32
#: The most leaves a tree may have (RFC 9162 sizes are uint64; SQLite integers are signed).
MAX_SIZE = 2**63 - 1
#: No proof is longer than the tree is high.
MAX_PROOF_HASHES = 64
#: Root of the tree without leaves, RFC 9162 section 2.1.1.
EMPTY_ROOT = hashlib.sha256(b"").digest()

#: Hash of the perfect subtree at ``(level, index)``, 32 bytes.
NodeReader = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """``SHA-256(0x00 || data)``, RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``SHA-256(0x01 || left || right)``, RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect subtree from its ``2**k`` lowest hashes, left to right."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, straight from the definition in RFC 9162 section 2.1.1; O(n), for checking."""
    count = len(leaf_hashes)
    if count == 0:
        return EMPTY_ROOT
    if count == 1:
        return leaf_hashes[0]
    split = _split_point(count)
    return node_hash(root_of(leaf_hashes[:split]), root_of(leaf_hashes[split:]))


def perfect_subtrees(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """``(level, index)`` of the fewest perfect subtrees covering leaves ``[start, stop)``, left to right.

    ``start`` must be aligned as it is for every subtree of RFC 9162 (a multiple of the largest power of two
    not above ``stop - start``).
    """
    while start < stop:
        level = (stop - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def range_hash(start: int, stop: int, node: NodeReader) -> bytes:
    """``MTH(D[start:stop])`` of a non-empty, aligned range."""
    parts = [node(level, index) for level, index in perfect_subtrees(start, stop)]
    result = parts.pop()
    while parts:
        result = node_hash(parts.pop(), result)
    return result


def root_hash(size: int, node: NodeReader) -> bytes:
    """Root of the tree of ``size`` leaves."""
    return range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges whose hashes are ``PATH(index, D[0:size])``, leaf's sibling first (RFC 9162, 2.1.3.1)."""
    _require(0 <= index < size <= MAX_SIZE, f"no entry {index} in a tree of {size}")
    ranges: list[tuple[int, int]] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split_point(stop - start)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges whose hashes are ``PROOF(old_size, D[0:size])`` (RFC 9162, 2.1.4.1)."""
    _require(0 < old_size <= size <= MAX_SIZE, f"no consistency proof from size {old_size} to {size}")
    ranges: list[tuple[int, int]] = []
    start, stop = 0, size
    while old_size != stop:
        middle = start + _split_point(stop - start)
        if old_size <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start > 0:
        ranges.append((start, stop))
    return ranges[::-1]


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Hashes proving that leaf ``index`` is in the tree of ``size``.

    Raises:
        ReceiptError: ``index`` is not below ``size``.
    """
    return [range_hash(start, stop, node) for start, stop in inclusion_ranges(index, size)]


def consistency_proof(old_size: int, size: int, node: NodeReader) -> list[bytes]:
    """Hashes proving that the tree of ``old_size`` is a prefix of the tree of ``size``.

    Raises:
        ReceiptError: not ``0 < old_size <= size``.
    """
    return [range_hash(start, stop, node) for start, stop in consistency_ranges(old_size, size)]


class Frontier:
    """The right edge of a growing tree: its root in O(log n) memory, without keeping leaves."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # roots of the perfect subtrees, largest first

    def add(self, leaf: bytes) -> None:
        """Append a leaf hash; amortised one node hash."""
        size, peak = self.size, leaf
        while size & 1:
            peak = node_hash(self._peaks.pop(), peak)
            size >>= 1
        self._peaks.append(peak)
        self.size += 1

    def root(self) -> bytes:
        """Root of what was added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (RFC 9162, section 2.1.3.2).

    Raises:
        ReceiptError: the index, or the number or length of the hashes, fits no tree of that size.
    """
    _require(0 <= index < size <= MAX_SIZE, f"no entry {index} in a tree of {size}")
    _require_hashes([leaf, *proof])
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        _require(last > 0, f"inclusion proof of {len(proof)} hashes is too long for a tree of {size}")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    _require(last == 0, f"inclusion proof of {len(proof)} hashes is too short for a tree of {size}")
    return result


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check an inclusion proof.

    Raises:
        ReceiptError: the proof has the wrong shape for ``index`` and ``size``.
        TamperedError: it does not lead to ``root``.
    """
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise TamperedError(f"entry {index} is not in the tree of {size} that the checkpoint signs")


def verify_consistency(
    old_size: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of ``old_size`` is a prefix of the tree of ``size`` (RFC 9162, section 2.1.4.2).

    Nothing can be proved from an empty tree, so ``old_size`` must be positive.

    Raises:
        ReceiptError: the sizes, or the number or length of the hashes, are impossible.
        TamperedError: the two roots are not of one history.
    """
    _require(0 < old_size <= size <= MAX_SIZE, f"no consistency proof from size {old_size} to {size}")
    _require_hashes([old_root, root, *proof])
    if old_size == size:
        _require(not proof, "consistency proof between equal sizes must be empty")
        if old_root != root:
            raise TamperedError(f"two different roots for the same size {size}: the log has forked")
        return
    _require(bool(proof), f"empty consistency proof from size {old_size} to {size}")
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_result = result = path[0]
    for sibling in path[1:]:
        _require(last > 0, f"consistency proof of {len(proof)} hashes is too long")
        if node & 1 or node == last:
            old_result = node_hash(sibling, old_result)
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    _require(last == 0, f"consistency proof of {len(proof)} hashes is too short")
    if old_result != old_root or result != root:
        raise TamperedError(
            f"the tree of {old_size} is not a prefix of the tree of {size}: the log has forked"
        )


def _split_point(count: int) -> int:
    """The largest power of two below ``count`` (``count`` > 1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ReceiptError(message)


def _require_hashes(hashes: Sequence[bytes]) -> None:
    _require(len(hashes) <= MAX_PROOF_HASHES + 2, f"a proof of {len(hashes)} hashes is over the limit")
    for value in hashes:
        _require(len(value) == HASH_BYTES, f"a hash of {len(value)} bytes where {HASH_BYTES} were expected")
