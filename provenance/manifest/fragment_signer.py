"""Signing a film in fragments (DASH, HLS): one manifest in the initialization segment binds every fragment.

c2pa-python 0.38 cannot write fragments. Its library can sign a manifest whose binding to the content is given
(``c2pa_builder_sign_embeddable``), so the binding is made here: C2PA 2.4, "BMFF-based hash", with all hashes of the
fragments as one row of a Merkle tree. Each fragment gets a box that says which of them it is.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cbor2

from provenance.errors import CheckError, CorruptMediaError, UsageError

#: The type of C2PA's box in ISO base media files.
_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_HEAD = _UUID + bytes(4)
_LEFT_OUT = (b"ftyp", b"mfra")
_MAX_BOXES = 100_000
_CHUNK = 1024 * 1024
#: One tree, of one track; players and verifiers use the numbers only to find the tree.
_TREE = {"uniqueId": 1, "localId": 1}

Box = tuple[int, int, bytes]


def mark_fragment(source: Path, output: Path, place: int) -> None:
    """Write a fragment with the box that says which of the film's fragments it is.

    Args:
        place: its number, from 0.

    Raises:
        CorruptMediaError: it is no fragment.
        UsageError: it belongs to a signed film already.
    """
    with source.open("rb") as stream:
        start = _place_of(b"moof", _unsigned(stream, source), source)
        content = _HEAD + b"merkle\0" + cbor2.dumps({**_TREE, "location": place})
        _write_with(stream, output, _box(content), start)


def sign_initialization(
    source: Path, output: Path, fragments: Sequence[Path], compose: Callable[[dict[str, Any]], bytes]
) -> bytes:
    """Write an initialization segment with a manifest that binds it and its fragments.

    Args:
        fragments: as :func:`mark_fragment` wrote them, in order.
        compose: signs a manifest with this binding, and returns it as a box; called twice.

    Returns:
        the manifest store.

    Raises:
        CorruptMediaError: a file cannot be read as what it should be.
        UsageError: it has a manifest already.
        CheckError: the two manifests have not the same size.
    """
    leaves = [bmff_hash(fragment) for fragment in fragments]
    with source.open("rb") as stream:
        start = _place_of(b"moov", _unsigned(stream, source), source)
        reserved = compose(_binding(bytes(32), leaves))
        _write_with(stream, output, reserved, start)
    final = compose(_binding(bmff_hash(output), leaves))
    if len(final) != len(reserved):
        raise CheckError(f"signing {source} gave manifests of different sizes", hint="try again")
    with output.open("r+b") as writing:
        writing.seek(start)
        writing.write(final)
    return final[final.index(b"jumb") - 4 :]


def bmff_hash(path: Path) -> bytes:
    """SHA-256 over the boxes that C2PA's hash covers, each after its offset; CorruptMediaError for a broken file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for box in list(_boxes(stream, path)):
            start, size, kind = box
            if kind in _LEFT_OUT or _is_c2pa(stream, box):
                continue
            digest.update(struct.pack(">Q", start))
            stream.seek(start)
            while size:
                data = stream.read(min(size, _CHUNK))
                digest.update(data)
                size -= len(data)
    return digest.digest()


def signed_box(builder: Any, media_type: str) -> bytes:
    """The builder's manifest, signed by its context's signer, as a box.

    Raises:
        UsageError: the installed c2pa-python cannot do it.
        c2pa.C2paError: signing failed.
    """
    from c2pa import c2pa as binding

    try:
        sign = binding._lib.c2pa_builder_sign_embeddable
    except AttributeError as error:
        raise UsageError(
            "the installed c2pa-python cannot sign fragments", hint="install the version that veilmark names"
        ) from error
    sign.restype = ctypes.c_int64
    sign.argtypes = [
        ctypes.POINTER(binding.C2paBuilder),
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.POINTER(ctypes.c_ubyte)),
    ]
    made = ctypes.POINTER(ctypes.c_ubyte)()
    with binding._native_section():
        size = sign(builder._handle, media_type.encode(), ctypes.byref(made))
        binding._check_ffi_operation_result(size, "Failed to sign", check=lambda found: found < 0)
        data = ctypes.string_at(made, size)
        binding._lib.c2pa_free(made)
    return data


def _binding(init_hash: bytes, leaves: Sequence[bytes]) -> dict[str, Any]:
    """The hash assertion of the initialization segment."""
    tree = {
        **_TREE,
        "count": len(leaves),
        "alg": "sha256",
        "initHash": list(init_hash),
        "hashes": [list(leaf) for leaf in leaves],
    }
    exclusions: list[dict[str, Any]] = [
        {"xpath": "/uuid", "data": [{"offset": 8, "value": list(_UUID)}]},
        *({"xpath": f"/{kind.decode()}"} for kind in _LEFT_OUT),
    ]
    data = {"exclusions": exclusions, "alg": "sha256", "merkle": [tree], "name": "jumbf manifest"}
    return {"label": "c2pa.hash.bmff.v3", "data": data, "created": True}


def _boxes(stream: BinaryIO, path: Path) -> Iterator[Box]:
    """Start, size and type of each top-level box (ISO/IEC 14496-12, 4.2)."""
    end = stream.seek(0, 2)
    start = 0
    for _ in range(_MAX_BOXES):
        if start == end:
            return
        stream.seek(start)
        head = stream.read(16)
        size, kind = struct.unpack(">I4s", head[:8]) if len(head) >= 8 else (0, b"")
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        elif size == 0 and kind:
            size = end - start
        if size < 8 or start + size > end:
            break
        yield start, size, kind
        start += size
    raise CorruptMediaError(f"{path} is no whole ISO media file")


def _unsigned(stream: BinaryIO, path: Path) -> list[Box]:
    """The boxes of a file that has none of C2PA's; UsageError for one that has."""
    boxes = list(_boxes(stream, path))
    if any(_is_c2pa(stream, box) for box in boxes):
        raise UsageError(
            f"{path} belongs to a signed film already", hint="sign the files as they were before"
        )
    return boxes


def _is_c2pa(stream: BinaryIO, box: Box) -> bool:
    start, size, kind = box
    if kind != b"uuid" or size < 24:
        return False
    stream.seek(start + 8)
    return stream.read(16) == _UUID


def _place_of(wanted: bytes, boxes: Sequence[Box], path: Path) -> int:
    for start, _, kind in boxes:
        if kind == wanted:
            return start
    what = "an initialization segment" if wanted == b"moov" else "a fragment"
    raise CorruptMediaError(f"{path} is not {what}: it has no box {wanted.decode()!r}")


def _box(content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), b"uuid") + content


def _write_with(stream: BinaryIO, output: Path, box: bytes, start: int) -> None:
    """Copy a file and put a box in at ``start``."""
    stream.seek(0)
    with output.open("wb") as writing:
        writing.write(stream.read(start))
        writing.write(box)
        while data := stream.read(_CHUNK):
            writing.write(data)
