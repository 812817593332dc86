"""Where grants lie: in the content store, found by the sealed object that they are for.

The store holds them under their own CIDs. ``grants/SEALED_CID/GRANT_CID`` in the data folder are empty files that say
which belong to what; that is only an index: what came in a CAR file is found by looking through the store once.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from provenance.errors import VeilmarkError
from provenance.home import Home
from provenance.media.files import write_bytes
from provenance.sealed.grants import GRANT_TYPE, MAX_GRANT_BYTES, MAX_GRANTS, Grant
from provenance.store.cid import Cid
from provenance.store.local import LocalStore


class GrantShelf:
    """The grants in one store."""

    def __init__(self, store: LocalStore, folder: Path) -> None:
        self.store = store
        self.folder = folder

    @classmethod
    def of_home(cls, home: Home) -> GrantShelf:
        return cls(LocalStore(home.store), home.data / "grants")

    def put(self, grant: Grant) -> str:
        """Keep a grant; returns its CID."""
        cid = self.store.put(grant.data)
        write_bytes(self.folder / grant.sealed / cid, b"", mode=0o600)
        return cid

    def find(self, sealed: str, readers: Collection[str]) -> list[Grant]:
        """The grants of a sealed object for the readers with these key ids; damaged ones are passed over."""
        known = [grant for grant in self.known(sealed) if grant.recipient in readers]
        return known or [grant for grant in self._search(sealed) if grant.recipient in readers]

    def known(self, sealed: str) -> list[Grant]:
        """All grants of a sealed object that the index names."""
        folder = self.folder / str(Cid.parse(sealed))
        names = sorted(file.name for file in folder.iterdir())[:MAX_GRANTS] if folder.is_dir() else []
        found = []
        for name in names:
            try:
                grant = Grant.parse(self.store.get(name))
            except VeilmarkError:
                continue
            if grant.sealed == sealed:
                found.append(grant)
        return found

    def remove(self, grant: Grant, cid: str) -> None:
        """Forget a grant that was just put here; those that were given away are out of reach."""
        (self.folder / grant.sealed / cid).unlink(missing_ok=True)
        self.store.delete_block(Cid.parse(cid))

    def _search(self, sealed: str) -> list[Grant]:
        """Look through the store for grants of a sealed object, and note them in the index."""
        found = []
        for _, block in self.store.small_blocks(MAX_GRANT_BYTES):
            if GRANT_TYPE.encode() not in block or sealed.encode() not in block:
                continue
            try:
                grant = Grant.parse(block)
            except VeilmarkError:
                continue
            if grant.sealed == sealed:
                self.put(grant)
                found.append(grant)
        return found[:MAX_GRANTS]
