"""Soft-binding values as the C2PA Soft Binding Resolution API sends them, and how strong a match is."""

from __future__ import annotations

import base64
import binascii

from provenance.errors import UsageError
from provenance.fingerprint.pdq import BYTES
from provenance.manifest.build import FINGERPRINT_ALGORITHMS

#: The algorithm that look-ups by value understand.
PDQ = FINGERPRINT_ALGORITHMS["pdq"]
MAX_VALUE_CHARS = 4096
_HALF = 128  # unrelated hashes differ in about so many of their 256 bits


def pdq_of(alg: str, value: str) -> bytes:
    """The 32 bytes of a query.

    Args:
        alg: the algorithm's name; :data:`PDQ`.
        value: base64 of the 32 bytes, or of the 64 hexadecimal digits that the manifest holds; the digits as they are
            count, too.

    Raises:
        UsageError: another algorithm, or not such a value.
    """
    if alg != PDQ:
        raise UsageError(
            f"the soft-binding algorithm {alg[:60]!r} is not supported",
            hint="/services/supportedAlgorithms lists those that are",
        )
    if len(value) <= MAX_VALUE_CHARS:
        for candidate in (value.encode(), _decoded(value)):
            if len(candidate) == BYTES and candidate != value.encode():
                return candidate
            if len(candidate) == 2 * BYTES and (parsed := _from_hex(candidate)):
                return parsed
    raise UsageError(
        f"not a value of {PDQ}: {value[:40]!r}", hint="send base64 of the 32 bytes, or of the 64 hex digits"
    )


def value_of(pdq: bytes) -> str:
    """What :func:`pdq_of` reads: base64 of the hexadecimal digits, which are the binding's value in the manifest."""
    return base64.b64encode(pdq.hex().encode()).decode()


def similarity(distance: int | None, *, exact: bool = False) -> int | None:
    """The API's ``similarityScore``, 0 to 100: 100 for equal bytes or pixels, 0 from 128 differing bits on.

    None where the likeness was not found by counting bits.
    """
    if exact:
        return 100
    return None if distance is None else max(0, round(100 * (1 - distance / _HALF)))


def _decoded(value: str) -> bytes:
    """Base64 in either alphabet, with or without padding; empty where it is none."""
    # a plus sign that was not escaped in an address arrives as a space
    text = value.translate(str.maketrans("-_ ", "+/+")).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""
