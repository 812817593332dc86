"""Large blobs as UnixFS files: the profile ``unixfs-v1-2025`` (IPIP-499) and nothing else.

Chunks of 1 MiB as raw leaves, balanced layout, at most 1,024 links a node, CIDv1, SHA-256. Blocks are dag-pb
(protobuf, hand-written here: four fields each) as in the UnixFS specification at specs.ipfs.tech/unixfs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from provenance.errors import StoreError
from provenance.store.cid import CODEC_DAG_PB, CODEC_RAW, Cid

CHUNK_BYTES = 1024 * 1024
MAX_LINKS = 1024
MAX_DEPTH = 4
MAX_FILE_BYTES = 8 * 1024**3
_FILE = 2  # UnixFS DataType.File


def cid_of(data: bytes) -> str:
    """The CID of a blob, as :meth:`provenance.store.base.ContentStore.put` returns it."""
    return str([cid for cid, _ in layout(data)][-1])


@dataclass(frozen=True)
class _Part:
    """A finished subtree: its block's CID, the file bytes below it, and those bytes plus all its blocks."""

    cid: Cid
    content_bytes: int
    total_bytes: int


def layout(
    data: bytes, *, chunk_bytes: int = CHUNK_BYTES, max_links: int = MAX_LINKS
) -> Iterator[tuple[Cid, bytes]]:
    """The blocks of a file, leaves first, root last; one raw leaf when it fits a chunk."""
    return layout_pieces([data], chunk_bytes=chunk_bytes, max_links=max_links)


def layout_pieces(
    pieces: Iterable[bytes], *, chunk_bytes: int = CHUNK_BYTES, max_links: int = MAX_LINKS
) -> Iterator[tuple[Cid, bytes]]:
    """As :func:`layout`, for a file that comes in pieces of any size; a chunk and a piece are in memory at a time."""
    parts: list[_Part] = []
    for block in _chunks(pieces, chunk_bytes):
        cid = Cid.of_block(block)
        parts.append(_Part(cid, len(block), len(block)))
        yield cid, block
    while len(parts) > 1:
        above: list[_Part] = []
        for start in range(0, len(parts), max_links):
            group = parts[start : start + max_links]
            block = _encode_node(group)
            cid = Cid.of_block(block, CODEC_DAG_PB)
            content = sum(part.content_bytes for part in group)
            above.append(_Part(cid, content, len(block) + sum(part.total_bytes for part in group)))
            yield cid, block
        parts = above


def _chunks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Pieces cut anew to ``size`` bytes, the last one shorter; one empty chunk where there is nothing."""
    buffer, count = bytearray(), 0
    for piece in pieces:
        for start in range(0, len(piece), size):
            buffer += piece[start : start + size]
            while len(buffer) >= size:
                yield bytes(buffer[:size])
                count += 1
                del buffer[:size]
    if buffer or not count:
        yield bytes(buffer)


def read_file(
    root: Cid, get_block: Callable[[Cid], bytes], *, max_bytes: int = MAX_FILE_BYTES
) -> Iterator[bytes]:
    """The chunks of a file in order.

    Args:
        root: the file's root.
        get_block: returns a block's *verified* bytes.
        max_bytes: stop beyond so many bytes.

    Raises:
        StoreError: a block is malformed, links too deep, or the file is over the limit.
    """
    total = 0
    pending = [(root, 0)]
    while pending:
        cid, depth = pending.pop()
        block = get_block(cid)
        if cid.codec == CODEC_RAW:
            total += len(block)
            if total > max_bytes:
                raise StoreError(f"the file {root} is over the limit of {max_bytes} bytes")
            yield block
            continue
        if depth >= MAX_DEPTH:
            raise StoreError(f"the file {root} is nested deeper than {MAX_DEPTH} levels")
        pending.extend((child, depth + 1) for child in reversed(links_of(cid, block)))


def links_of(cid: Cid, block: bytes) -> list[Cid]:
    """The children that a dag-pb file node names, in order; StoreError when it is no such node."""
    try:
        fields = list(_fields(block))
        children = [
            Cid.from_binary(next(value for number, value in _fields(link) if number == 1))
            for number, link in fields
            if number == 2
        ]
        data = b"".join(value for number, value in fields if number == 1)
        kind = int.from_bytes(next(value for number, value in _fields(data) if number == 1), "big")
        if kind != _FILE or not children or any(number == 2 for number, _ in _fields(data)):
            raise ValueError("not a file node with raw leaves")
    except (ValueError, StopIteration, IndexError) as error:
        raise StoreError(f"block {cid} is not a UnixFS file node: {error}") from error
    return children


def _encode_node(parts: list[_Part]) -> bytes:
    links = b"".join(_bytes_field(2, _encode_link(part)) for part in parts)
    sizes = b"".join(_varint_field(4, part.content_bytes) for part in parts)
    whole = sum(part.content_bytes for part in parts)
    return links + _bytes_field(1, _varint_field(1, _FILE) + _varint_field(3, whole) + sizes)


def _encode_link(part: _Part) -> bytes:
    return _bytes_field(1, part.cid.binary) + _bytes_field(2, b"") + _varint_field(3, part.total_bytes)


def _varint_field(number: int, value: int) -> bytes:
    return bytes([number << 3]) + encode_varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + encode_varint(len(value)) + value


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Fields of a protobuf message: number, and its bytes (integers as big-endian bytes)."""
    position = 0
    while position < len(data):
        tag, position = decode_varint(data, position)
        value, position = decode_varint(data, position)
        if tag & 7 == 2:
            if position + value > len(data):
                raise ValueError("a field is cut short")
            yield tag >> 3, data[position : position + value]
            position += value
        elif tag & 7 == 0:
            yield tag >> 3, value.to_bytes(10, "big")
        else:
            raise ValueError("unknown wire type")


def encode_varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, position: int = 0) -> tuple[int, int]:
    """``(value, position after it)``; ValueError when it is cut short or over 64 bits."""
    value = shift = 0
    while shift < 64:
        if position >= len(data):
            raise ValueError("a number is cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is too large")
