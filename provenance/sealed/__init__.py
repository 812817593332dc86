"""The signed original of a cloaked file, encrypted, for people who were granted its key.

Three use cases: :func:`seal_original` (seal.py) when a file is cloaked, :func:`open_sealed` and :func:`grant_access`
(unseal.py) for a person who holds a key. ``envelope`` and ``padding`` encrypt the file, ``keys`` are the encryption
keys, ``grants`` wrap a file's key for one reader, ``shelf`` stores grants, ``reference`` is what the cloaked file's
manifest says. Names load on first use.
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
