"""The receipt that says most: against an anchored checkpoint, else a cosigned one, else the last."""

from __future__ import annotations

from provenance.home import Home
from provenance.ledger.log import Log
from provenance.ledger.receipt import Receipt


def best_receipt(home: Home, ledger: Log, index: int) -> Receipt:
    """A receipt of one entry of the own log.

    Raises:
        LedgerError: there is no such entry.
    """
    if ledger.kept_checkpoints("anchored", covering=index):
        try:
            from provenance.ledger.evm.receipts import anchored_receipt
        except ModuleNotFoundError:  # the packages that talk to a chain are not installed here
            pass
        else:
            anchored = anchored_receipt(home, ledger, index)
            if anchored is not None:
                return anchored
    for kind in ("anchored", "witnessed"):
        kept = ledger.kept_checkpoints(kind, covering=index)
        if kept:
            return ledger.receipt(index, note=kept[-1].note)
    return ledger.receipt(index)
