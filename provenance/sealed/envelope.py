"""A file of any size, padded and encrypted in chunks that prove their place: AES-256-GCM as a STREAM.

Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance",
CRYPTO 2015: each chunk's nonce is its number and whether it is the last, so that chunks that are missing, doubled
or in another order do not decrypt. Layout::

    MAGIC                                             18 bytes, associated data of every chunk
    chunk 0, chunk 1, ... each 64 KiB and a 16-byte tag (the last one may be shorter)

    nonce      = number of the chunk (11 bytes, big-endian), 1 for the last chunk and else 0 (1 byte)
    plaintext  = length of the file (8 bytes, big-endian), the file, zero bytes up to the padded size

A key encrypts one file only, so the nonces may begin at 0. AES-GCM does not commit to its key; here the SHA-256 of
the file, which the cloaked file's signed manifest names, says which plaintext is the right one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from provenance.errors import CorruptMediaError, TamperedError
from provenance.sealed.padding import padded_length

ALGORITHM = "aes-256-gcm-stream-64k"
MAGIC = b"veilmark sealed 1\n"
KEY_BYTES = 32
CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16
_LENGTH_BYTES = 8
_HINT = "get a fresh copy of the sealed original, from a backup or from its owner"


def new_key() -> bytes:
    """A fresh random content key, 32 bytes."""
    return os.urandom(KEY_BYTES)


def padded_size(length: int) -> int:
    """Bytes of plaintext, length field and padding included, that a file of ``length`` bytes becomes."""
    return padded_length(_LENGTH_BYTES + length)


def sealed_size(padded: int) -> int:
    """Bytes of the whole sealed object whose plaintext has ``padded`` bytes."""
    return len(MAGIC) + padded + _chunks(padded) * _TAG_BYTES


def encrypt(key: bytes, source: BinaryIO, length: int) -> Iterator[bytes]:
    """The sealed object, piece by piece; no more than two chunks are in memory.

    Args:
        key: 32 bytes that never encrypted anything else.
        source: the file, read from where it stands.
        length: how many bytes it has.

    Raises:
        CorruptMediaError: the file has another length by the time it is read.
    """
    cipher = AESGCM(key)
    last = _chunks(padded_size(length)) - 1
    yield MAGIC
    for number, chunk in enumerate(_plaintext(source, length)):
        yield cipher.encrypt(_nonce(number, number == last), chunk, MAGIC)


def decrypt(key: bytes, pieces: Iterable[bytes], padded: int) -> Iterator[bytes]:
    """The file, piece by piece. Nothing may be used before the last piece came without an error.

    Args:
        pieces: the sealed object, cut anyhow.
        padded: the size of its plaintext, as the manifest says.

    Raises:
        TamperedError: another key, or chunks that were altered, left out, moved or added.
    """
    reader = _Reader(pieces)
    left = -1
    for number, chunk in enumerate(_opened(key, reader, padded)):
        if number == 0:
            left = int.from_bytes(chunk[:_LENGTH_BYTES], "big")
            if padded < _LENGTH_BYTES or padded_size(left) != padded:
                raise TamperedError("the sealed original is not padded as its length asks for", hint=_HINT)
            chunk = chunk[_LENGTH_BYTES:]
        content, padding = chunk[:left], chunk[left:]
        if padding.strip(b"\0"):
            raise TamperedError("the sealed original's padding holds something", hint=_HINT)
        left -= len(content)
        if content:
            yield content
    if reader.read(1):
        raise TamperedError("the sealed original goes on after its end", hint=_HINT)


def opens(key: bytes, pieces: Iterable[bytes], padded: int) -> bool:
    """Whether the key decrypts the first chunk."""
    try:
        next(_opened(key, _Reader(pieces), padded))
    except TamperedError:
        return False
    return True


def _opened(key: bytes, reader: _Reader, padded: int) -> Iterator[bytes]:
    if reader.read(len(MAGIC)) != MAGIC:
        raise TamperedError("the sealed original does not begin as one", hint=_HINT)
    cipher = AESGCM(key)
    last = _chunks(padded) - 1
    for number in range(last + 1):
        size = min(CHUNK_BYTES, padded - number * CHUNK_BYTES)
        sealed = reader.read(size + _TAG_BYTES)
        if len(sealed) != size + _TAG_BYTES:
            raise TamperedError(f"the sealed original is cut short at chunk {number}", hint=_HINT)
        try:
            yield cipher.decrypt(_nonce(number, number == last), sealed, MAGIC)
        except InvalidTag:
            raise TamperedError(
                f"chunk {number} of the sealed original does not decrypt: altered, or under another key",
                hint=_HINT,
            ) from None


def _plaintext(source: BinaryIO, length: int) -> Iterator[bytes]:
    """Length, file and padding in chunks of equal size, but the last."""
    padded, read = padded_size(length), 0
    for start in range(0, padded, CHUNK_BYTES):
        size = min(CHUNK_BYTES, padded - start)
        chunk = length.to_bytes(_LENGTH_BYTES, "big") if start == 0 else b""
        content = source.read(min(size - len(chunk), length - read))
        read += len(content)
        chunk += content
        if len(chunk) < size and read < length:
            raise _changed()
        yield chunk.ljust(size, b"\0")
    if source.read(1):
        raise _changed()


def _changed() -> CorruptMediaError:
    return CorruptMediaError(
        "the original changed while it was sealed", hint="let nothing write to it meanwhile"
    )


def _chunks(padded: int) -> int:
    return max(1, -(-padded // CHUNK_BYTES))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Reader:
    """Reads exactly so many bytes from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count and (piece := next(self._pieces, None)) is not None:
            self._buffer += piece
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found
