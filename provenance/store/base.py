"""What every content store offers."""

from __future__ import annotations

from typing import Protocol


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
