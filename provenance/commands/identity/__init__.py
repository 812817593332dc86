"""``veilmark identity``: ``keys`` makes and shows identities, ``request`` asks for certificates, ``lifecycle`` moves,
renews and revokes them.
"""

from __future__ import annotations

from provenance.commands.identity import keys, lifecycle, request
from provenance.commands.identity.group import app

__all__ = ["app", "keys", "lifecycle", "request"]
