"""A session: identity, ledger and content store of one signer, opened together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from provenance.home import Home
from provenance.identity.identity import Identity, load_identity
from provenance.ledger.log import Log
from provenance.ledger.opening import open_ledger
from provenance.store.local import LocalStore

if TYPE_CHECKING:
    from provenance.search.synthetic import SyntheticRecords


class Session:
    """The open parts of one :class:`Home`; made by :func:`open_session`."""

    def __init__(self, home: Home, identity: Identity, ledger: Log) -> None:
        self.home = home
        self.identity = identity
        self.ledger = ledger
        self.store = LocalStore(home.store)

    def keep(self, manifest: bytes) -> tuple[str, str]:
        """Store manifest bytes; returns their SHA-256 (hex) and content id."""
        return hashlib.sha256(manifest).hexdigest(), self.store.put(manifest)

    @cached_property
    def synthetic(self) -> SyntheticRecords:
        """What the own ledger calls synthetic."""
        from provenance.search.synthetic import SyntheticRecords

        return SyntheticRecords(
            self.home.data / "similar" / "synthetic", self.ledger, self.home.data / "firsts.json"
        )

    def clock_behind(self) -> float:
        """Seconds by which this machine's clock is behind the ledger's last entry; 0 or less: it is not."""
        size = self.ledger.size
        if size == 0:
            return 0.0
        return (
            datetime.fromisoformat(self.ledger.entry(size - 1).logged_at) - datetime.now(UTC)
        ).total_seconds()


@contextmanager
def open_session(
    home: Home, *, identity: str | None = None, passphrase: str | None = None
) -> Iterator[Session]:
    """Open identity and ledger of an initialised home.

    Raises:
        NotInitializedError: `veilmark init` was never run here.
        IdentityError: no such identity, or it cannot be unlocked.
        LedgerError: the ledger cannot be opened.
    """
    home.require_initialized()
    signer = load_identity(home, identity, passphrase)
    with open_ledger(home) as ledger:
        yield Session(home, signer, ledger)
