"""RFC 9162 trees: the public vectors, and proofs against the definition."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import ReceiptError, TamperedError, VeilmarkError
from provenance.ledger import merkle


def _leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(count)]


def _reader(leaves: list[bytes]):
    return lambda level, index: merkle.root_of(leaves[index << level : (index + 1) << level])


def _vectors(test_data: Path, kind: str) -> list[tuple[str, dict]]:
    folder = test_data / "vectors" / "merkle" / "testdata" / kind
    return [(str(file.relative_to(folder)), json.loads(file.read_text())) for file in folder.rglob("*.json")]


@pytest.mark.vectors
def test_public_inclusion_vectors(test_data: Path) -> None:
    vectors = _vectors(test_data, "inclusion")
    assert len(vectors) > 90
    good = 0
    for name, case in vectors:
        leaf, root = (base64.b64decode(case[key] or "") for key in ("leafHash", "root"))
        proof = [base64.b64decode(value) for value in case["proof"] or []]
        arguments = (case["leafIdx"], case["treeSize"], leaf, proof, root)
        if case["wantErr"]:
            with pytest.raises(VeilmarkError):
                merkle.verify_inclusion(*arguments)
                pytest.fail(f"{name} ({case['desc']}) was accepted")
        else:
            merkle.verify_inclusion(*arguments)
            good += 1
    assert good == 6


@pytest.mark.vectors
def test_public_consistency_vectors(test_data: Path) -> None:
    vectors = _vectors(test_data, "consistency")
    assert len(vectors) > 90
    good = 0
    for name, case in vectors:
        old_root, root = (base64.b64decode(case[key] or "") for key in ("root1", "root2"))
        proof = [base64.b64decode(value) for value in case["proof"] or []]
        if "sizes-are-equal-one-and-proof-is-empty" in name:
            # its roots are placeholders of 16 bytes; equal roots of a real length must do
            assert old_root == root
            old_root = root = merkle.leaf_hash(old_root)
        arguments = (case["size1"], case["size2"], old_root, root, proof)
        if case["wantErr"]:
            with pytest.raises(VeilmarkError):
                merkle.verify_consistency(*arguments)
                pytest.fail(f"{name} ({case['desc']}) was accepted")
        else:
            merkle.verify_consistency(*arguments)
            good += 1
    assert good == 6


def test_known_hashes() -> None:
    # SHA-256 of nothing; SHA-256 of one zero byte: RFC 9162, 2.1.1
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33])
def test_every_inclusion_proof_verifies_and_no_neighbour_does(size: int) -> None:
    leaves = _leaves(size)
    root = merkle.root_hash(size, _reader(leaves))
    assert root == merkle.root_of(leaves)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, _reader(leaves))
        merkle.verify_inclusion(index, size, leaves[index], proof, root)
        if size > 1:
            with pytest.raises(TamperedError):
                merkle.verify_inclusion(index, size, leaves[index - 1], proof, root)
            with pytest.raises((TamperedError, ReceiptError)):
                merkle.verify_inclusion((index + 1) % size, size, leaves[index], proof, root)


@given(st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_consistency_proofs_verify_and_changed_ones_do_not(size: int, data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, size))
    leaves = _leaves(size)
    proof = merkle.consistency_proof(old_size, size, _reader(leaves))
    roots = merkle.root_of(leaves[:old_size]), merkle.root_of(leaves)
    merkle.verify_consistency(old_size, size, *roots, proof)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        changed = bytearray(proof[place])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TamperedError):
            merkle.verify_consistency(
                old_size, size, *roots, [*proof[:place], bytes(changed), *proof[place + 1 :]]
            )
        with pytest.raises(VeilmarkError):
            merkle.verify_consistency(old_size, size, *roots, proof[:-1])


@pytest.mark.parametrize(
    ("index", "size"),
    [(-1, 5), (5, 5), (0, 0), (2**63, 2**63 + 1)],
    ids=["negative", "past", "empty", "huge"],
)
def test_impossible_places_are_refused(index: int, size: int) -> None:
    with pytest.raises(ReceiptError):
        merkle.verify_inclusion(index, size, b"\0" * 32, [], b"\0" * 32)


def test_overlong_proofs_are_refused_before_any_hashing() -> None:
    with pytest.raises(ReceiptError, match="over the limit"):
        merkle.verify_inclusion(0, 2**62, b"\0" * 32, [b"\0" * 32] * 100_000, b"\0" * 32)
