"""Transparency log: an embedded RFC 9162 tree, signed checkpoints, offline receipts.

The names below are loaded on first use, so that importing this package costs nothing.
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
