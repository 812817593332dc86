"""Content-addressed storage of manifests, receipts and sealed originals.

Start with :mod:`provenance.store.base` (what a store can do). ``local`` is the folder on this machine, ``ipfs`` a
daemon, ``queue`` what waits for upload; ``cid`` and ``unixfs`` compute content ids, ``car`` reads and writes CAR files.
Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from provenance.store.base import ContentStore as ContentStore
    from provenance.store.local import LocalStore as LocalStore
    from provenance.store.unixfs import cid_of as cid_of

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ContentStore": "provenance.store.base",
        "LocalStore": "provenance.store.local",
        "cid_of": "provenance.store.unixfs",
    },
)
