"""``veilmark ledger``: the log behind the records.

``group`` holds the Typer application and what all its commands share; ``log`` reads the own log, ``discoverable`` says
what of it others may find, ``publishing`` audits and publishes it, ``copies`` saves and restores it, ``witnesses``
talks to witnesses, ``chain``, ``accounts`` and ``relay`` to an EVM chain. ``anchors`` checks anchors for
``veilmark verify``.
"""

from __future__ import annotations

# the order in which `veilmark ledger --help` lists the commands
# isort: off
from provenance.commands.ledger import log
from provenance.commands.ledger import discoverable
from provenance.commands.ledger import publishing
from provenance.commands.ledger import copies
from provenance.commands.ledger import witnesses
from provenance.commands.ledger import chain
from provenance.commands.ledger import accounts
from provenance.commands.ledger import relay
from provenance.commands.ledger.group import app
# isort: on

__all__ = ["accounts", "app", "chain", "copies", "discoverable", "log", "publishing", "relay", "witnesses"]
