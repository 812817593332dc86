"""Just enough of JUMBF (ISO/IEC 19566-5) and COSE (RFC 9052) to read signers' certificates.

c2pa-python reports who signed, but not the certificates themselves; they lie in the ``x5chain`` header
(RFC 9360) of the COSE_Sign1 structure in the active manifest's signature box.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import cbor2

MAX_CERTIFICATES = 20
_MAX_ITEMS = 20_000
_X5CHAIN = 33
_X5CHAIN_NAME = "x5chain"
_UUID_TAIL = b"\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
#: Box types of a manifest store, a manifest, its assertions and its signature, as they stand in a file.
STORE_MARKS = tuple(b"jumd" + kind + _UUID_TAIL for kind in (b"c2pa", b"c2ma", b"c2as", b"c2cs"))
#: The same of the drafts before C2PA 1.0.
DRAFT_MARKS = tuple(b"jumd" + kind + _UUID_TAIL for kind in (b"cacb", b"cast", b"caas", b"cacl"))
#: What all of these begin with.
MARK_START = b"jumdc"


class MalformedError(ValueError):
    """Bytes that are not what they should be; callers turn it into one of the project's errors."""


def signature_certificates(store: bytes, manifest_label: str) -> list[bytes]:
    """DER certificates, leaf first, of the signature over one manifest of a store.

    Raises:
        MalformedError: the store, the box or the COSE structure cannot be read, or its padding, which no
            signature covers, is not the zeros that C2PA asks for.
    """
    return cose_certificates(signature_box(store, manifest_label))


def cose_certificates(data: bytes) -> list[bytes]:
    """DER certificates, leaf first, of a COSE_Sign1 structure; MalformedError as above."""
    cose = _decode(data)
    if not isinstance(cose, list) or len(cose) != 4:
        raise MalformedError("the signature box holds no COSE_Sign1")
    unprotected = cose[1] if isinstance(cose[1], dict) else {}
    if any(isinstance(unprotected.get(key), bytes) and any(unprotected[key]) for key in ("pad", "pad2")):
        raise MalformedError("the padding of the signature is not empty")
    protected = _decode(cose[0]) if isinstance(cose[0], bytes) and cose[0] else {}
    for header in (protected, unprotected):
        for key in (_X5CHAIN, _X5CHAIN_NAME):
            chain = header.get(key) if isinstance(header, dict) else None
            chain = [chain] if isinstance(chain, bytes) else chain
            if isinstance(chain, list) and chain and all(isinstance(one, bytes) for one in chain):
                return list(chain[:MAX_CERTIFICATES])
    raise MalformedError("the signature carries no certificates")


def signature_box(store: bytes, manifest_label: str) -> bytes:
    """Content of the ``c2pa.signature`` box of one manifest."""
    for box_type, content in _boxes(store):
        if box_type != b"jumb" or _label(content) != "c2pa":
            continue
        for child_type, manifest in _children(content):
            if child_type == b"jumb" and _label(manifest) == manifest_label:
                for part_type, part in _children(manifest):
                    if part_type == b"jumb" and _label(part) == "c2pa.signature":
                        return next((data for kind, data in _children(part) if kind == b"cbor"), b"")
    raise MalformedError(f"no signature box for manifest {manifest_label[:80]!r}")


def active_label(store: bytes) -> str:
    """Label of a store's active manifest, its last one; empty where there is none (MalformedError as above)."""
    labels = [
        _label(manifest)
        for box_type, content in _boxes(store)
        if box_type == b"jumb" and _label(content) == "c2pa"
        for kind, manifest in _children(content)
        if kind == b"jumb"
    ]
    return labels[-1] if labels else ""


def active_only(store: bytes) -> bytes:
    """A store that holds the active manifest alone; MalformedError where there is none."""
    for box_type, content in _boxes(store):
        if box_type == b"jumb" and _label(content) == "c2pa":
            description = next(_boxes(content))[1]
            manifests = [part for kind, part in _children(content) if kind == b"jumb"]
            if manifests:
                return _box(b"jumb", _box(b"jumd", description) + _box(b"jumb", manifests[-1]))
    raise MalformedError("the store holds no manifest")


def assertion(store: bytes, manifest_label: str, label: str) -> Any:
    """Content of an assertion that is kept as CBOR; MalformedError where there is none."""
    for box_type, content in _boxes(store):
        if box_type != b"jumb" or _label(content) != "c2pa":
            continue
        for manifest in _named(content, manifest_label):
            for assertions in _named(manifest, "c2pa.assertions"):
                for one in _named(assertions, label):
                    return _decode(next((data for kind, data in _children(one) if kind == b"cbor"), b""))
    raise MalformedError(f"no assertion {label[:80]!r}")


def assertion_labels(store: bytes, manifest_label: str) -> list[str]:
    """Labels of all assertions that a manifest still holds, in order; MalformedError for a broken store."""
    return [
        _label(one)
        for kind, content in _boxes(store)
        if kind == b"jumb" and _label(content) == "c2pa"
        for manifest in _named(content, manifest_label)
        for assertions in _named(manifest, "c2pa.assertions")
        for part, one in _children(assertions)
        if part == b"jumb"
    ]


def _named(content: bytes, label: str) -> Iterator[bytes]:
    """Superboxes of a label inside another one."""
    return (part for kind, part in _children(content) if kind == b"jumb" and _label(part) == label)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, count = 0, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            if at + 16 > len(data):
                raise MalformedError("box header is cut off")
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else at + size
        count += 1
        if end < start or end > len(data) or count > _MAX_ITEMS:
            raise MalformedError("box runs over the end of its parent")
        yield kind, data[start:end]
        at = end


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _children(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a superbox after its description."""
    boxes = _boxes(content)
    next(boxes, None)
    return boxes


def _label(content: bytes) -> str:
    kind, description = next(_boxes(content), (b"", b""))
    if kind != b"jumd" or len(description) < 18 or not description[16] & 0x02:
        return ""
    return description[17 : description.find(b"\x00", 17)].decode("utf-8", "replace")


def _decode(data: bytes) -> Any:
    """One CBOR item, without its tag; what follows it is not read."""
    try:
        value = cbor2.loads(data)
    except Exception as error:  # a decoder of tagged items raises many kinds
        raise MalformedError(f"CBOR cannot be read: {str(error)[:120]}") from error
    return value.value if isinstance(value, cbor2.CBORTag) else value
