"""``veilmark identity``: ``keys`` makes and shows identities, ``lifecycle`` moves, renews and revokes them."""

from __future__ import annotations

from provenance.commands.identity import keys, lifecycle
from provenance.commands.identity.group import app

__all__ = ["app", "keys", "lifecycle"]
