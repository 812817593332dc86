"""Padding and the chunked encryption: what a length shows, and what no change survives."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import CorruptMediaError, TamperedError
from provenance.sealed.envelope import (
    CHUNK_BYTES,
    MAGIC,
    decrypt,
    encrypt,
    new_key,
    opens,
    padded_size,
    sealed_size,
)
from provenance.sealed.padding import padded_length
from provenance.store.local import LocalStore
from tests.provenance.sealed.conftest import flipped, noise

KEY = bytes(range(32))
_SEALED_CHUNK = CHUNK_BYTES + 16


def seal(content: bytes, key: bytes = KEY) -> bytes:
    return b"".join(encrypt(key, io.BytesIO(content), len(content)))


def unseal(sealed: bytes, padded: int, key: bytes = KEY) -> bytes:
    return b"".join(decrypt(key, [sealed], padded))


def chunks_of(sealed: bytes) -> list[bytes]:
    body = sealed[len(MAGIC) :]
    return [body[start : start + _SEALED_CHUNK] for start in range(0, len(body), _SEALED_CHUNK)]


@pytest.mark.parametrize(
    ("length", "padded"),
    # worked by hand from the paper's algorithm 1: E = floor(log2 L), S = floor(log2 E) + 1, E - S low bits are zero
    [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (11, 12), (100, 104), (1000, 1024), (1_000_000, 1_015_808)],
)
def test_padme_by_hand(length: int, padded: int) -> None:
    assert padded_length(length) == padded


@given(st.integers(2, 2**40))
def test_padme_hides_much_and_costs_little(length: int) -> None:
    padded = padded_length(length)
    assert length <= padded <= length * 1.12
    assert padded_length(padded) == padded
    exponent = length.bit_length() - 1
    assert padded % 2 ** max(0, exponent - exponent.bit_length()) == 0
    with pytest.raises(ValueError, match="not negative"):
        padded_length(-1)


def test_lengths_that_are_told_apart_are_few() -> None:
    assert len({padded_length(length) for length in range(2**20, 2**21)}) <= 33


@given(st.integers(0, 3 * CHUNK_BYTES), st.integers(1, 200_000), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_any_file_comes_back_from_any_pieces(length: int, cut: int, seed: int) -> None:
    content = noise(length, seed)
    sealed = seal(content)
    assert len(sealed) == sealed_size(padded_size(length))
    pieces = [sealed[start : start + cut] for start in range(0, len(sealed), cut)]
    assert b"".join(decrypt(KEY, pieces, padded_size(length))) == content


def test_files_of_one_padded_size_are_sealed_to_one_size() -> None:
    sizes = {len(seal(noise(length))) for length in range(100_000, 100_200)}
    assert len({padded_size(length) for length in range(100_000, 100_200)}) == len(sizes) == 1


def test_a_sealed_object_shows_nothing_of_the_file() -> None:
    content = b"a face " * 40_000
    sealed = seal(content)
    assert not any(content[start : start + 16] in sealed for start in range(0, 700, 7))
    assert seal(content, new_key())[len(MAGIC) :] != sealed[len(MAGIC) :]


def test_a_chunk_is_what_any_aes_gcm_makes_of_it() -> None:
    """The layout as the module documents it, built without the module."""
    content = noise(CHUNK_BYTES + 100)
    padded = padded_size(len(content))
    plain = (len(content).to_bytes(8, "big") + content).ljust(padded, b"\0")
    first = AESGCM(KEY).encrypt(bytes(12), plain[:CHUNK_BYTES], MAGIC)
    second = AESGCM(KEY).encrypt((1).to_bytes(11, "big") + b"\x01", plain[CHUNK_BYTES:], MAGIC)
    assert seal(content) == MAGIC + first + second


@pytest.mark.parametrize("place", [0, 5, len(MAGIC), len(MAGIC) + 3, len(MAGIC) + _SEALED_CHUNK - 1, -1])
def test_one_changed_bit_is_found(place: int) -> None:
    content = noise(2 * CHUNK_BYTES + 17)
    sealed = flipped(seal(content), place)
    with pytest.raises(TamperedError) as caught:
        unseal(sealed, padded_size(len(content)))
    assert caught.value.hint


def test_moved_left_out_doubled_and_added_chunks_are_found() -> None:
    content = noise(4 * CHUNK_BYTES)
    padded = padded_size(len(content))
    chunks = chunks_of(seal(content))
    last = chunks[-1]
    changed = {
        "swapped": [chunks[1], chunks[0], *chunks[2:]],
        "left out": [chunks[0], *chunks[2:]],
        "doubled": [chunks[0], chunks[0], *chunks[2:]],
        "cut at a chunk": chunks[:-1],
        "cut in a chunk": [*chunks[:-1], last[:-1]],
        "nothing": [],
        "something added": [*chunks, b"x"],
        "a chunk added": [*chunks, last],
    }
    for what, parts in changed.items():
        with pytest.raises(TamperedError):
            unseal(MAGIC + b"".join(parts), padded)
        assert what


def test_a_beginning_does_not_pass_for_the_whole() -> None:
    """Cut at a chunk, and the manifest's size made to fit."""
    sealed = seal(noise(4 * CHUNK_BYTES))
    with pytest.raises(TamperedError):
        unseal(MAGIC + b"".join(chunks_of(sealed)[:2]), 2 * CHUNK_BYTES)
    # even where all else fits: a chunk that does not say that it is the last one is not
    plain = ((1000).to_bytes(8, "big") + noise(1000)).ljust(padded_size(1000), b"\0")
    for last, good in ((b"\x01", True), (b"\x00", False)):
        assert opens(KEY, [MAGIC + AESGCM(KEY).encrypt(bytes(11) + last, plain, MAGIC)], len(plain)) is good


def test_another_key_and_another_size_open_nothing() -> None:
    content = noise(1000)
    sealed, padded = seal(content), padded_size(1000)
    assert opens(KEY, [sealed], padded)
    assert not opens(new_key(), [sealed], padded)
    with pytest.raises(TamperedError, match="chunk 0"):
        unseal(sealed, padded, new_key())
    with pytest.raises(TamperedError):
        unseal(sealed, padded + 32)
    with pytest.raises(TamperedError):
        unseal(sealed, padded - 32)


def test_padding_that_is_none_is_refused() -> None:
    """Who holds the key could hide bytes, or a second length, where nobody looks."""

    def by_hand(plain: bytes) -> bytes:
        return MAGIC + AESGCM(KEY).encrypt(bytes(11) + b"\x01", plain, MAGIC)

    plain = ((1000).to_bytes(8, "big") + noise(1000)).ljust(padded_size(1000), b"\0")
    assert unseal(by_hand(plain), len(plain)) == noise(1000)
    with pytest.raises(TamperedError, match="padding holds"):
        unseal(by_hand(plain[:-1] + b"x"), len(plain))
    for length in (10, 2**63):
        with pytest.raises(TamperedError, match="not padded as"):
            unseal(by_hand(length.to_bytes(8, "big") + plain[8:]), len(plain))


def test_a_file_that_changes_while_it_is_sealed_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    content = noise(3 * 1024 * 1024)
    for length in (len(content) - 1, len(content) + 1):
        with pytest.raises(CorruptMediaError, match="changed while"):
            store.put_pieces(encrypt(KEY, io.BytesIO(content), length))
    assert list(store.cids()) == [], "what was stored of it is gone"


class _Endless(io.RawIOBase):
    """So many bytes, made when they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, count: int = -1) -> bytes:
        count = min(count, self.left)
        self.left -= count
        return b"\x5a" * count


def test_a_big_file_needs_little_memory(tmp_path: Path) -> None:
    store, size = LocalStore(tmp_path / "store"), 96 * 1024 * 1024
    tracemalloc.start()
    try:
        cid = store.put_pieces(encrypt(KEY, _Endless(size), size))  # type: ignore[arg-type]
        total = sum(len(piece) for piece in _counted(decrypt(KEY, store.pieces(cid), padded_size(size))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 12 * 1024 * 1024, f"{peak} bytes for a file of {size}"


def _counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        assert len(piece) <= CHUNK_BYTES
        yield piece
