"""The ledger: an RFC 9162 Merkle tree, signed checkpoints, offline receipts.

Start with :mod:`provenance.ledger.base` (what a ledger can do) and :mod:`provenance.ledger.receipt` (how an entry is
proven without the ledger). ``embedded`` keeps the log in one SQLite file, ``evm`` anchors it on a chain. ``merkle``,
``note``, ``checkpoints`` and ``tiles`` are the formats; ``publish``, ``audit``, ``witness`` and ``service`` are for
others who watch the log. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from provenance.ledger.base import Ledger as Ledger
    from provenance.ledger.embedded.log import LocalLedger as LocalLedger
    from provenance.ledger.embedded.rows import Entry as Entry
    from provenance.ledger.note import Checkpoint as Checkpoint
    from provenance.ledger.note import Note as Note
    from provenance.ledger.policy import Policy as Policy
    from provenance.ledger.receipt import Receipt as Receipt

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "LocalLedger": "provenance.ledger.embedded.log",
        "Entry": "provenance.ledger.embedded.rows",
        "Ledger": "provenance.ledger.base",
        "Receipt": "provenance.ledger.receipt",
        "Checkpoint": "provenance.ledger.note",
        "Note": "provenance.ledger.note",
        "Policy": "provenance.ledger.policy",
    },
)
