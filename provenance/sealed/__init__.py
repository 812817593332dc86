"""The signed original of a cloaked file, encrypted, for those who were granted its key.

Three use cases: :func:`seal_original` when a file is cloaked, :func:`open_sealed` for who holds a key, and
:func:`grant_access` for one more person. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from provenance.sealed.seal import seal_original as seal_original
    from provenance.sealed.unseal import grant_access as grant_access
    from provenance.sealed.unseal import open_sealed as open_sealed

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "seal_original": "provenance.sealed.seal",
        "open_sealed": "provenance.sealed.unseal",
        "grant_access": "provenance.sealed.unseal",
    },
)
