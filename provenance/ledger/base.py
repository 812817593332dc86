"""The seam between veilmark and a log: what signing, verifying and finding ask of one.

:class:`provenance.ledger.embedded.log.LocalLedger` is the embedded one,
:class:`provenance.ledger.postgres.log.PostgresLedger` has its tables on a server. Another (a Tessera log over object
storage) fits in by offering the same methods; docs/research/ledger-scale.md says when that is worth it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from provenance.ledger.embedded.rows import Entry
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.receipt import Receipt
from provenance.record import Opening

if TYPE_CHECKING:
    from provenance.ledger.log import Log


class HashIndex(Protocol):
    """From an exact hash to entries; may live apart from the log, since it can be rebuilt from it."""

    def find_sha256(self, sha256_hex: str, *, limit: int = 1000) -> list[Entry]:
        """Entries whose record names this hash as its file, its source or its manifest, in log order."""
        ...


class Ledger(HashIndex, Protocol):
    """An append-only log of signed records."""

    @property
    def origin(self) -> str:
        """The log's unique name."""
        ...

    @property
    def log_key(self) -> str:
        """Its verifier key (vkey)."""
        ...

    @property
    def size(self) -> int:
        """Entries in the last signed checkpoint."""
        ...

    def append(
        self, openings: Sequence[Opening], features: Sequence[bytes | None] | None = None
    ) -> list[Receipt]:
        """Log records; returns their receipts once they are durable. The same opening is logged once."""
        ...

    def note(self) -> Note:
        """The last signed checkpoint, as a note."""
        ...

    def checkpoint(self) -> Checkpoint:
        """The last signed checkpoint."""
        ...

    def receipt(self, index: int, *, note: Note | None = None) -> Receipt:
        """A receipt for one entry against ``note`` (default: the last checkpoint)."""
        ...

    def entry(self, index: int) -> Entry:
        """One entry."""
        ...

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Entries in log order."""
        ...

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of ``old_size`` is a prefix of that of ``size`` (default: now)."""
        ...


if TYPE_CHECKING:

    def _log_is_a_ledger(ledger: Log) -> Ledger:
        return ledger
