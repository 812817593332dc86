"""The same search through FAISS, for those who have it (`pip install veilmark[scale]`)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.search.hash_index import CODE_BYTES, Hits, as_words

_BITS = 8 * CODE_BYTES
_PIECES, _PIECE_BITS = 16, 16


class FaissIndex:
    """FAISS' binary indexes behind our protocol; both are exact up to a radius of 31 bits.

    Args:
        kind: ``flat`` compares with everything; ``multihash`` asks 16 hash tables of 16 bits, one bit flipped.

    Raises:
        UsageError: FAISS is not installed.
    """

    def __init__(self, kind: Literal["flat", "multihash"] = "multihash") -> None:
        try:
            import faiss
        except ImportError as error:
            raise UsageError("FAISS is not installed", hint="pip install 'veilmark[scale]'") from error
        self._index: Any
        if kind == "flat":
            self._index = faiss.IndexBinaryFlat(_BITS)
        else:
            self._index = faiss.IndexBinaryMultiHash(_BITS, _PIECES, _PIECE_BITS)
            self._index.nflip = 1

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, codes: NDArray[np.uint8]) -> None:
        as_words(codes)
        self._index.add(np.ascontiguousarray(codes))

    def search(self, queries: NDArray[np.uint8], radius: int) -> Hits:
        as_words(queries)
        # FAISS counts a distance below, not up to, the radius
        limits, distances, items = self._index.range_search(np.ascontiguousarray(queries), radius + 1)
        counts = np.asarray(limits[1:], dtype=np.int64) - np.asarray(limits[:-1], dtype=np.int64)
        numbers = np.repeat(np.arange(len(queries), dtype=np.int64), counts)
        order = np.lexsort((items, distances, numbers))
        return Hits(
            numbers[order],
            np.asarray(items, dtype=np.int64)[order],
            np.asarray(distances, dtype=np.int64)[order],
        )
