"""One log, one history: receipts that say otherwise than the own copy of their log."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint
from provenance.ledger.receipt import Receipt


@dataclass(frozen=True)
class Comparison:
    """What a receipt of the own log is beside the own ledger.

    Attributes:
        contradiction: which two histories there are, or empty.
        ahead: the receipt is of more entries than the own ledger has, so that little of it could be compared.
    """

    contradiction: str = ""
    ahead: str = ""


def compare(receipt: Receipt, ledger: Log) -> Comparison:
    """Compare a receipt with the own ledger, where it is of the own log and signed by its key.

    Args:
        receipt: already verified, so that its entry is in the tree that its checkpoint states.
    """
    seen = receipt.checkpoint
    if seen.origin != ledger.origin or not receipt.note.verify([ledger.verifier]):
        return Comparison()
    own = ledger.checkpoint()
    if seen.size <= own.size:
        same = ledger.root_at(seen.size) == seen.root
    elif receipt.index < own.size:
        same = ledger.commitments(receipt.index, receipt.index + 1) == [receipt.opening.commitment]
    else:
        same = True
    if not same:
        return Comparison(
            f"log {seen.origin} has two histories: the receipt's checkpoint, {_named(seen)}, and your own ledger's,"
            f" {_named(own)}, cannot both be right; a copy of the ledger signed entries of its own"
        )
    if seen.size > own.size:
        return Comparison(
            ahead=f"the receipt is of {seen.size} entries of your own log, but your ledger has {own.size}:"
            " it is an older copy"
        )
    return Comparison()


def _named(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.size} entries with root {checkpoint.root.hex()[:16]}…"
