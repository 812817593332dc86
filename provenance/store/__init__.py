"""Content-addressed storage of manifests and receipts; names load on first use."""

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
