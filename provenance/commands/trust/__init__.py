"""``veilmark trust``: whom and what the person at this machine trusts.

``group`` holds the Typer application and how entries are shown; ``adding`` adds, ``listing`` lists, removes and
exports, ``updating`` fetches newer issues of published lists.
"""

from __future__ import annotations

# the order in which `veilmark trust --help` lists the commands
# isort: off
from provenance.commands.trust import adding
from provenance.commands.trust import listing
from provenance.commands.trust import updating
from provenance.commands.trust.group import app
# isort: on

__all__ = ["adding", "app", "listing", "updating"]
