"""Content identifiers (CIDv1, base32, SHA-256), computed locally (github.com/multiformats/cid).

A blob up to 1 MiB is one raw leaf. A larger one is cut into raw leaves under UnixFS nodes by the profile
``unixfs-v1-2025`` (see :mod:`provenance.store.unixfs`), so that a CID computed here is the one an up-to-date
IPFS daemon computes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from provenance.errors import StoreError

CODEC_RAW = 0x55
CODEC_DAG_PB = 0x70
_SHA2_256 = b"\x12\x20"
_MAX_CID_CHARS = 128


@dataclass(frozen=True)
class Cid:
    """A parsed CIDv1 over SHA-256.

    Attributes:
        codec: :data:`CODEC_RAW` or :data:`CODEC_DAG_PB`.
        digest: SHA-256 of the block, 32 bytes.
    """

    codec: int
    digest: bytes

    @property
    def binary(self) -> bytes:
        """Version, codec, multihash: 36 bytes."""
        return bytes([1, self.codec]) + _SHA2_256 + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.binary).decode().lower().rstrip("=")

    @classmethod
    def of_block(cls, block: bytes, codec: int = CODEC_RAW) -> Cid:
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read a CID's base32 form.

        Raises:
            StoreError: not a CIDv1 in base32 over SHA-256 with raw or dag-pb codec.
        """
        body = text[1:]
        try:
            if len(text) > _MAX_CID_CHARS or text[:1] != "b" or body != body.lower():
                raise ValueError("not lower-case base32")
            cid = cls.from_binary(base64.b32decode(body.upper() + "=" * (-len(body) % 8)))
            if str(cid) != text:
                raise ValueError("not canonical")
        except (ValueError, binascii.Error) as error:
            raise StoreError(
                f"{text[:80]!r} is not a content id we know: {error}",
                hint="a content id looks like bafkrei... (CIDv1, base32, SHA-256)",
            ) from error
        return cid

    @classmethod
    def from_binary(cls, data: bytes) -> Cid:
        """Read the 36 bytes; ValueError when they are anything else."""
        if len(data) != 36 or data[0] != 1 or data[1] not in (CODEC_RAW, CODEC_DAG_PB):
            raise ValueError("not a CIDv1 with raw or dag-pb codec")
        if data[2:4] != _SHA2_256:
            raise ValueError("not a SHA-256 multihash")
        return cls(data[1], data[4:])
