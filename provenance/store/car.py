"""CAR files (v1): many blocks in one file, to carry a store's content anywhere (ipld.io/specs/transport/car).

A CAR begins with a header in DAG-CBOR, ``{"roots": [CID...], "version": 1}``, then holds each block after its
CID and length. Nothing in one is believed: every block is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provenance.errors import MissingPathError, StoreError
from provenance.media.files import replacing
from provenance.store.cid import CODEC_DAG_PB, Cid
from provenance.store.local import LocalStore
from provenance.store.unixfs import MAX_DEPTH, encode_varint, links_of

MAX_ROOTS = 10_000
MAX_BLOCK_BYTES = 2 * 1024 * 1024
_MAX_HEADER_BYTES = 1024 * 1024
_CID_BYTES = 36
_LINK = b"\xd8\x2a\x58\x25\x00"  # CBOR: tag 42, a byte string of 37, the identity multibase


@dataclass(frozen=True)
class CarReport:
    """What a CAR file held, or was given: its roots, blocks, and bytes of block data."""

    roots: tuple[str, ...]
    blocks: int
    bytes: int


def export_car(store: LocalStore, cids: Iterable[str], target: Path, *, force: bool = False) -> CarReport:
    """Write these blobs and all blocks below them into one CAR file.

    Raises:
        StoreError: one is not in the store, or damaged.
        OutputExistsError, NotWritableError: the target.
    """
    roots = [Cid.parse(cid) for cid in dict.fromkeys(cids)]
    if len(roots) > MAX_ROOTS:
        raise StoreError(f"{len(roots)} roots are over the limit of {MAX_ROOTS}", hint="export in parts")
    blocks = size = 0
    with replacing(target, force=force) as temporary, temporary.open("wb") as stream:
        header = _encode_header(roots)
        stream.write(encode_varint(len(header)) + header)
        for cid, block in walk(roots, store.get_block):
            stream.write(encode_varint(_CID_BYTES + len(block)) + cid.binary + block)
            blocks, size = blocks + 1, size + len(block)
    return CarReport(tuple(map(str, roots)), blocks, size)


def import_car(store: LocalStore, source: Path) -> CarReport:
    """Put a CAR file's blocks into the store.

    Raises:
        MissingPathError: no such file.
        StoreError: malformed, over a limit, or a block is not what its CID says; blocks read before that one
            are kept, they were verified.
    """
    if not source.is_file():
        raise MissingPathError(f"no file {source}")
    blocks = size = 0
    with source.open("rb") as stream:
        roots = _decode_header(_section(stream, _MAX_HEADER_BYTES, "the header") or b"")
        while (section := _section(stream, _CID_BYTES + MAX_BLOCK_BYTES, f"block {blocks}")) is not None:
            try:
                cid = Cid.from_binary(section[:_CID_BYTES])
            except ValueError as error:
                raise StoreError(
                    f"{source}, block {blocks}: {error}", hint="only SHA-256 CIDv1 blocks"
                ) from error
            store.put_block(cid, section[_CID_BYTES:])
            blocks, size = blocks + 1, size + len(section) - _CID_BYTES
    for root in roots:
        if not store.has(str(root)):
            raise StoreError(f"{source} names the root {root} but does not hold it", hint="get a fresh copy")
    return CarReport(tuple(map(str, roots)), blocks, size)


def walk(roots: Iterable[Cid], get_block: Callable[[Cid], bytes]) -> Iterator[tuple[Cid, bytes]]:
    """Each block reachable from the roots once, parents first."""
    seen: set[Cid] = set()
    pending = [(root, 0) for root in roots][::-1]
    while pending:
        cid, depth = pending.pop()
        if cid in seen:
            continue
        seen.add(cid)
        block = get_block(cid)
        yield cid, block
        if cid.codec == CODEC_DAG_PB:
            if depth >= MAX_DEPTH:
                raise StoreError(f"{cid} is nested deeper than {MAX_DEPTH} levels")
            pending.extend((child, depth + 1) for child in reversed(links_of(cid, block)))


def _section(stream: BinaryIO, limit: int, what: str) -> bytes | None:
    """The next length-prefixed part; None at the end of the file."""
    length = shift = 0
    while True:
        byte = stream.read(1)
        if not byte and not shift:
            return None
        if not byte or shift > 28:
            raise StoreError(f"the CAR file is cut short or damaged at {what}")
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    if not 0 < length <= limit:
        raise StoreError(f"{what} of the CAR file has {length} bytes; the limit is {limit}")
    data = stream.read(length)
    if len(data) != length:
        raise StoreError(f"the CAR file is cut short at {what}", hint="get a fresh copy")
    return data


def _encode_header(roots: list[Cid]) -> bytes:
    count = len(roots)
    array = bytes([0x80 | count]) if count < 24 else b"\x99" + count.to_bytes(2, "big")
    if 24 <= count < 256:
        array = bytes([0x98, count])
    links = b"".join(_LINK + root.binary for root in roots)
    return b"\xa2\x65roots" + array + links + b"\x67version\x01"


def _decode_header(body: bytes) -> list[Cid]:
    """The roots. Read by the one canonical form there is, which every header must have."""
    try:
        width = len(_LINK) + _CID_BYTES
        start = body.index(_LINK) if _LINK in body else len(body) - len(b"\x67version\x01")
        end = len(body) - len(b"\x67version\x01")
        parts = [body[i : i + width] for i in range(start, end, width)]
        roots = [Cid.from_binary(part.removeprefix(_LINK)) for part in parts]
    except ValueError as error:
        raise StoreError(f"not a CAR file we know: {error}", hint="CAR version 1 is read") from error
    if len(roots) > MAX_ROOTS or _encode_header(roots) != body:
        raise StoreError("not a CAR file of version 1", hint="CAR version 1 with CIDv1 roots is read")
    return roots
