"""What every content store offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable


class ContentStore(Protocol):
    """Blobs by content id: what comes back is what was put in, or an error."""

    def put(self, data: bytes) -> str:
        """Keep ``data``; returns its CID (v1, base32). Putting the same bytes again changes nothing."""
        ...

    def get(self, cid: str) -> bytes:
        """The bytes whose CID this is, verified.

        Raises:
            StoreError: not there, out of reach, or other bytes than the CID says.
        """
        ...

    def has(self, cid: str) -> bool:
        """Whether the store holds it."""
        ...


@runtime_checkable
class InPieces(Protocol):
    """What a store offers besides where blobs may be larger than memory."""

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """As :meth:`ContentStore.put`, for a blob that comes in pieces of any size."""
        ...

    def pieces(self, cid: str) -> Iterator[bytes]:
        """As :meth:`ContentStore.get`, in pieces of at most 2 MiB."""
        ...
