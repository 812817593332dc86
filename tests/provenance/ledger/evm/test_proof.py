"""State proofs against tries that another implementation built (py-trie, which py-evm brings)."""

from __future__ import annotations

import pytest
import rlp
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from provenance.errors import ChainError
from provenance.ledger.evm.proof import (
    account_in_state,
    decode_header,
    encode_header,
    storage_value,
    trie_get,
)

EMPTY_ROOT = keccak(rlp.encode(b""))


def built(entries: dict[bytes, bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for key, value in entries.items():
        trie[key] = value
    return trie


def nodes_for(trie: HexaryTrie, key: bytes) -> list[bytes]:
    """As eth_getProof gives them: the nodes on the way that are referred to by hash, root first."""
    encoded = [bytes(rlp.encode(node)) for node in trie.get_proof(key)]
    return [node for place, node in enumerate(encoded) if place == 0 or len(node) >= 32]


keys = st.binary(min_size=2, max_size=2)
values = st.binary(min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(entries=st.dictionaries(keys, values, min_size=1, max_size=40), absent=keys)
def test_what_is_there_and_what_is_not(entries: dict[bytes, bytes], absent: bytes) -> None:
    trie = built(entries)
    for key in [*entries, absent]:
        assert trie_get(trie.root_hash, key, nodes_for(trie, key)) == entries.get(key)


@settings(max_examples=150, deadline=None)
@given(entries=st.dictionaries(keys, values, min_size=2, max_size=40), data=st.data())
def test_no_altered_proof_is_believed(entries: dict[bytes, bytes], data: st.DataObject) -> None:
    trie = built(entries)
    key = data.draw(st.sampled_from(sorted(entries)))
    nodes = nodes_for(trie, key)
    place = data.draw(st.integers(0, len(nodes) - 1))
    offset = data.draw(st.integers(0, len(nodes[place]) - 1))
    flip = data.draw(st.integers(1, 255))
    node = nodes[place]
    altered = node[:offset] + bytes([node[offset] ^ flip]) + node[offset + 1 :]
    for broken in (
        [*nodes[:place], altered, *nodes[place + 1 :]],
        nodes[:-1],
        [*nodes, nodes[-1]],
        list(reversed(nodes)) if len(nodes) > 1 else [],
    ):
        with pytest.raises(ChainError):
            trie_get(trie.root_hash, key, broken)


def test_the_empty_trie() -> None:
    assert trie_get(EMPTY_ROOT, b"key", []) is None
    assert trie_get(EMPTY_ROOT, b"key", [rlp.encode(b"")]) is None
    assert storage_value(EMPTY_ROOT, bytes(32), []) == 0
    with pytest.raises(ChainError):
        trie_get(keccak(b"not empty"), b"key", [])


def test_storage_and_accounts() -> None:
    slots = {number.to_bytes(32, "big"): number**7 + 1 for number in range(50)}
    storage = built({keccak(slot): rlp.encode(value) for slot, value in slots.items()})
    address = bytes(range(20))
    account = rlp.encode([5, 10**18, storage.root_hash, keccak(b"code")])
    state = built({keccak(address): account, keccak(b"another"): rlp.encode([0, 0, EMPTY_ROOT, EMPTY_ROOT])})
    found = account_in_state(state.root_hash, address, nodes_for(state, keccak(address)))
    assert found is not None
    assert (found.nonce, found.balance, found.code_hash) == (5, 10**18, keccak(b"code"))
    for slot, value in slots.items():
        assert storage_value(found.storage_root, slot, nodes_for(storage, keccak(slot))) == value
    nobody = bytes(20)
    assert account_in_state(state.root_hash, nobody, nodes_for(state, keccak(nobody))) is None


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"\x00",
        b"\xc0",
        rlp.encode([b"a", b"b", b"c"]),
        rlp.encode([b"", b"value"]),
        rlp.encode([b"\x50", b"value"]),
        rlp.encode([b"\x00\x6b", b"too short a reference"]),
        rlp.encode([[b"a"], b"value"]),
        rlp.encode([b"\x00", [b"\x00", [b"\x00", [b"\x00", []]]]]),
        b"\xc1" * 3000,
        b"\xf9\xff\xff",
        b"\xb8",
        b"x" * 5000,
    ],
)
def test_malformed_nodes(node: bytes) -> None:
    with pytest.raises(ChainError):
        trie_get(keccak(node), b"key", [node])


def test_too_many_nodes() -> None:
    with pytest.raises(ChainError, match="over the limits"):
        trie_get(EMPTY_ROOT, b"key", [b"x"] * 129)


@settings(max_examples=200, deadline=None)
@given(node=st.binary(max_size=200), key=st.binary(max_size=4))
def test_any_bytes_give_an_answer_or_a_chain_error(node: bytes, key: bytes) -> None:
    try:
        trie_get(keccak(node), key, [node])
    except ChainError:
        return


#: The first block of the main network after the genesis block: public, and known by heart to every client.
BLOCK_ONE = {
    "hash": "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6",
    "parentHash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x05a56e2d52c817161883f50c441c3228cfe54d9f",
    "stateRoot": "0xd67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x3ff800000",
    "number": "0x1",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x55ba4224",
    "extraData": "0x476574682f76312e302e302f6c696e75782f676f312e342e32",
    "mixHash": "0x969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59",
    "nonce": "0x539bd4979fef1ec4",
}


def test_a_real_header_hashes_to_its_hash() -> None:
    header = decode_header(encode_header(BLOCK_ONE))
    assert "0x" + header.hash.hex() == BLOCK_ONE["hash"]
    assert (header.number, header.timestamp) == (1, 1438269988)
    assert "0x" + header.state_root.hex() == BLOCK_ONE["stateRoot"]


@pytest.mark.parametrize("field", sorted(set(BLOCK_ONE) - {"hash"}))
def test_no_field_of_a_header_can_be_altered(field: str) -> None:
    value = BLOCK_ONE[field]
    last = "1" if value[-1] != "1" else "2"
    with pytest.raises(ChainError):
        encode_header({**BLOCK_ONE, field: value[:-1] + last})
    with pytest.raises(ChainError):
        encode_header({name: part for name, part in BLOCK_ONE.items() if name != field})


@pytest.mark.parametrize(
    "encoded", [b"", b"\xc0", rlp.encode([b""] * 15), rlp.encode([[b""]] * 15), b"x" * 5000]
)
def test_what_is_no_header(encoded: bytes) -> None:
    with pytest.raises(ChainError):
        decode_header(encoded)
