"""RFC 9162 inclusion proofs on-chain: public vectors, and random trees against a definition in Python."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3.exceptions import MismatchedABI

LOG = b"\x11" * 32
ZERO = b"\x00" * 32


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    return 1 << (count - 1).bit_length() - 1


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, literally."""
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node_hash(root_of(leaves[:k]), root_of(leaves[k:]))


def path_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, literally."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path_of(index, leaves[:k]), root_of(leaves[k:])]
    return [*path_of(index - k, leaves[k:]), root_of(leaves[:k])]


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root a path leads to, by the recursive definition; None where the path's length is wrong."""
    if size == 1:
        return leaf if not path else None
    if not path:
        return None
    k = split(size)
    if index < k:
        left = root_by_path(leaf, index, k, path[:-1])
        return left and node_hash(left, path[-1])
    right = root_by_path(leaf, index - k, size - k, path[:-1])
    return right and node_hash(path[-1], right)


def verify(ledger: Any, leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    return bool(ledger.functions.verify_inclusion(leaf, index, size, path, root).call())


@pytest.mark.vectors
def test_all_public_vectors(ledger: Any, test_data: Path) -> None:
    folder = test_data / "vectors" / "merkle" / "testdata" / "inclusion"
    accepted = refused = not_encodable = 0
    for path in sorted(folder.rglob("*.json")):
        vector = json.loads(path.read_text())
        leaf, root = (base64.b64decode(vector[name] or "") for name in ("leafHash", "root"))
        proof = [base64.b64decode(part or "") for part in vector["proof"] or []]
        where = str(path.relative_to(folder))
        try:
            result = verify(ledger, leaf, vector["leafIdx"], vector["treeSize"], proof, root)
        except MismatchedABI:
            # a hash that is not 32 bytes, or a number that is no uint64, cannot even be sent
            wrong = [part for part in (leaf, root, *proof) if len(part) != 32]
            numbers = [vector["leafIdx"], vector["treeSize"]]
            assert wrong or any(not 0 <= number < 2**64 for number in numbers), where
            assert vector["wantErr"], where
            not_encodable += 1
            continue
        assert result is not vector["wantErr"], where
        accepted, refused = accepted + result, refused + (not result)
    assert accepted >= 6 and refused >= 60 and accepted + refused + not_encodable >= 90


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 140), data=st.data())
def test_every_true_proof_holds_and_altered_ones_fail(ledger: Any, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]
    root, path = root_of(leaves), path_of(index, leaves)
    assert verify(ledger, leaves[index], index, size, path, root)

    altered = data.draw(st.sampled_from(["leaf", "root", "path", "shorter", "longer", "index", "beyond"]))
    leaf, other = leaves[index], list(path)
    if altered == "leaf":
        leaf = bytes([leaf[0] ^ 1]) + leaf[1:]
    elif altered == "root":
        root = bytes([root[0] ^ 0x80]) + root[1:]
    elif altered == "path" and other:
        place = data.draw(st.integers(0, len(other) - 1))
        other[place] = other[place][:-1] + bytes([other[place][-1] ^ 1])
    elif altered == "shorter" and other:
        other.pop(data.draw(st.integers(0, len(other) - 1)))
    elif altered in ("longer", "path", "shorter"):
        other.append(ZERO)
    elif altered == "index" and size > 1:
        index = (index + data.draw(st.integers(1, size - 1))) % size
    else:
        index = size + data.draw(st.integers(0, 5))
    assert not verify(ledger, leaf, index, size, other, root)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    index=st.integers(0, 2**64 - 1),
    size=st.integers(0, 2**64 - 1),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=64),
    leaf=st.binary(min_size=32, max_size=32),
)
def test_any_input_agrees_with_the_recursive_definition(
    ledger: Any, index: int, size: int, path: list[bytes], leaf: bytes
) -> None:
    root = root_by_path(leaf, index, size, path) if index < size else None
    assert verify(ledger, leaf, index, size, path, root or ZERO) is (root is not None)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (2, 3), (5, 8), (7, 9)])
def test_a_proof_cannot_climb_above_the_root(ledger: Any, index: int, size: int) -> None:
    """One more step would lead from the true root to any root that an attacker makes of it."""
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    root, path, extra = root_of(leaves), path_of(index, leaves), leaf_hash(b"extra")
    assert verify(ledger, leaves[index], index, size, path, root)
    for above in (node_hash(root, extra), node_hash(extra, root)):
        assert not verify(ledger, leaves[index], index, size, [*path, extra], above)


def test_the_longest_proof(ledger: Any) -> None:
    size, index = 2**64 - 1, 2**63 - 1
    path = [leaf_hash(bytes([number])) for number in range(64)]
    leaf = leaf_hash(b"leaf")
    root = root_by_path(leaf, index, size, path)
    assert root is not None
    assert verify(ledger, leaf, index, size, path, root)
    assert not verify(ledger, leaf, index, size, path[:-1], root)


def test_proof_against_an_anchored_checkpoint(ledger: Any, alice: str, bob: str, send: Any) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(11)]
    for size in (4, 11):
        send(ledger.functions.anchor(LOG, size, root_of(leaves[:size]), ZERO), alice)
    check = ledger.functions.verify_anchored
    for size in (4, 11):
        path = path_of(2, leaves[:size])
        assert check(alice, LOG, leaves[2], 2, size, path).call()
        assert not check(bob, LOG, leaves[2], 2, size, path).call()
        assert not check(alice, ZERO, leaves[2], 2, size, path).call()
        assert not check(alice, LOG, leaves[3], 2, size, path).call()
    assert not check(alice, LOG, leaves[2], 2, 5, path_of(2, leaves[:5])).call()
    # a size that was never anchored has root zero, and a leaf hash of zero must not match it
    assert not check(alice, LOG, ZERO, 0, 1, []).call()


def test_proof_against_a_batch(ledger: Any, alice: str, bob: str, send: Any) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(7)]
    root = root_of(leaves)
    send(ledger.functions.commit_batch(root, 7, ZERO), alice)
    for index in range(7):
        assert ledger.functions.verify_batch(alice, root, leaves[index], index, path_of(index, leaves)).call()
    assert not ledger.functions.verify_batch(alice, root, leaves[0], 1, path_of(0, leaves)).call()
    assert not ledger.functions.verify_batch(bob, root, leaves[0], 0, path_of(0, leaves)).call()
