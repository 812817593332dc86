"""What a database offers a log inside one transaction, and what is made of it.

:class:`provenance.ledger.embedded.tables.SqliteTables` lies in one file,
:class:`provenance.ledger.postgres.tables.PostgresTables` on a server. The tree, the records and their bytes are the
same in both, so that a log can move from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

from provenance.errors import LedgerError, ReceiptError
from provenance.ledger import merkle
from provenance.ledger.checkpoints import Kept
from provenance.ledger.embedded.discoverable import Rows
from provenance.ledger.embedded.entries import Stored
from provenance.ledger.embedded.nodes import NodeStore
from provenance.ledger.embedded.rows import SALT_BYTES, Entry, Prepared, commitment_in, record_in
from provenance.ledger.note import Checkpoint, Note
from provenance.record import Opening


class Tables(Protocol):
    """A log's tables, in a transaction that the caller holds."""

    @property
    def nodes(self) -> NodeStore:
        """The tree's hashes."""
        ...

    def state(self) -> tuple[Note, Checkpoint]:
        """The last checkpoint that was signed.

        Raises:
            LedgerError: there is none, or it is damaged.
        """
        ...

    def set_state(self, note: Note) -> None:
        """Make ``note`` the last checkpoint."""
        ...

    def read(self, start: int, stop: int) -> list[Stored | None]:
        """Entries ``[start, stop)`` as they are stored; None for one that is missing."""
        ...

    def last(self) -> int | None:
        """Index of the last entry there is, signed or not."""
        ...

    def features(self, start: int, stop: int) -> dict[int, bytes]:
        """The private descriptors of entries ``[start, stop)`` that have some."""
        ...

    def insert(self, start: int, items: Sequence[Prepared], times: Sequence[int]) -> None:
        """Add entries from ``start`` on with their look-up keys and descriptors, not the tree.

        Args:
            times: POSIX time of each, when the log took it.
        """
        ...

    def candidates(self, base_keys: Sequence[int], size: int, limit: int) -> list[int]:
        """Entries that may name one of these hashes, earliest first; 28 bits can mislead."""
        ...

    def missing(self, keys: Sequence[int]) -> list[int]:
        """Those look-up keys (base key plus index) that are not there."""
        ...

    def kept(
        self, *, kind: str | None = None, size: int | None = None, covering: int = 0, limit: int = 1000
    ) -> list[Kept]:
        """Checkpoints that others may have seen, largest first."""
        ...

    def keep(self, note: Note, kind: str, place: str, *, at: int | None = None) -> None:
        """Remember that others may have seen a checkpoint, at a POSIX time (default: now)."""
        ...

    @property
    def rows(self) -> Rows:
        """The database, for what is kept beside the log."""
        ...

    def numbered(self) -> int:
        """The last number that an entry others may find was listed under; see embedded/discoverable.py."""
        ...

    def set_numbered(self, seq: int) -> None:
        """Let numbers go on after ``seq``."""
        ...

    def moved(self) -> str | None:
        """Where this log was moved to, or is being moved to; None where it is at home here."""
        ...

    def set_moved(self, place: str | None) -> None:
        """Say where this log goes on; it takes no more entries here. None takes that back."""
        ...

    def faults(self) -> Iterator[str]:
        """What is wrong with the database itself, in plain words."""
        ...


def find_same(tables: Tables, items: Sequence[Prepared], size: int) -> dict[bytes, int]:
    """Leaf hash to index of those openings that the log already holds."""
    firsts = list({item.keys[0] for item in items})
    found = tables.candidates(firsts, size, merkle.MAX_SIZE)
    leaves = {item.leaf for item in items}
    known = zip(tables.nodes.nodes([(0, index) for index in found]), found, strict=True)
    return {leaf: index for leaf, index in known if leaf in leaves}


def select_entries(tables: Tables, start: int, stop: int) -> Iterator[Entry]:
    """Entries ``[start, stop)`` in log order, each checked against its leaf in the tree.

    Raises:
        LedgerError: an entry is missing, or not what its leaf commits to.
    """
    if stop <= start:
        return
    leaves = tables.nodes.leaves(start, stop)
    features = tables.features(start, stop)
    stored = tables.read(start, stop)
    for index, (leaf, item) in enumerate(zip(leaves, stored, strict=True), start=start):
        yield _entry_of(index, leaf, item, features.get(index))


def select_commitments(tables: Tables, start: int, stop: int) -> list[bytes]:
    """Commitments of entries ``[start, stop)``; LedgerError when one is missing."""
    stored = tables.read(start, stop) if stop > start else []
    if any(item is None or item.head is None for item in stored):
        raise LedgerError(
            f"entries are missing between {start} and {stop}", hint="run `veilmark ledger audit`"
        )
    return [commitment_in(item) for item in stored if item is not None]


def _entry_of(index: int, leaf: bytes, item: Stored | None, features: bytes | None) -> Entry:
    if item is None or item.head is None or merkle.leaf_hash(commitment_in(item)) != leaf:
        raise LedgerError(
            f"entry {index} is not what the tree commits to",
            hint="the database was damaged or altered: run `veilmark ledger audit`, then restore a backup",
        )
    try:
        signed = record_in(item)
    except (ValueError, ReceiptError) as error:
        raise LedgerError(
            f"entry {index} cannot be parsed: {error}", hint="run `veilmark ledger audit`"
        ) from error
    when = datetime.fromtimestamp(item.logged_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Entry(index, Opening(item.opening[:SALT_BYTES], signed), when, features)
