"""The content store in a bucket: one object per block, named by its CID."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provenance.errors import StoreError
from provenance.objects import Bucket
from provenance.store.cid import CODEC_RAW, Cid
from provenance.store.local import require_match
from provenance.store.unixfs import layout_pieces, read_file

_MAX_BLOCK_BYTES = 2 * 1024 * 1024


class ObjectStore:
    """Blocks below an address such as ``s3://BUCKET/PREFIX``; they never change, and are checked on reading."""

    def __init__(self, address: str) -> None:
        self._bucket = Bucket(address)

    def put(self, data: bytes) -> str:
        """Keep a blob; returns its CID."""
        return self.put_pieces([data])

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """Keep a blob that comes in pieces, in little memory; its root comes last, so that what is there is whole.

        Raises:
            StoreError: the bucket cannot be written, or holds other bytes under this CID.
        """
        root = ""
        for cid, block in layout_pieces(pieces):
            root = str(cid)
            if not self._bucket.create(_path(cid), block):
                self._block(cid)
        return root

    def get(self, cid: str) -> bytes:
        """A blob, verified block by block.

        Raises:
            StoreError: not there, out of reach, or damaged.
        """
        return b"".join(self.pieces(cid))

    def pieces(self, cid: str) -> Iterator[bytes]:
        """A blob as :meth:`get` returns it, in pieces of at most 1 MiB."""
        parsed = Cid.parse(cid)
        return iter([self._block(parsed)]) if parsed.codec == CODEC_RAW else read_file(parsed, self._block)

    def has(self, cid: str) -> bool:
        """Whether the blob's root block is there."""
        return self._bucket.read(_path(Cid.parse(cid)), _MAX_BLOCK_BYTES) is not None

    def _block(self, cid: Cid) -> bytes:
        found = self._bucket.read(_path(cid), _MAX_BLOCK_BYTES)
        if found is None:
            raise StoreError(f"{cid} is not in {self._bucket.where}", hint="push it there first")
        require_match(cid, found[0])
        return found[0]


def _path(cid: Cid) -> str:
    name = str(cid)
    return f"{name[-3:-1]}/{name}"
