"""From a stripped or altered file back to its record: near-duplicate search over fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from provenance.fingerprint import Fingerprint, PictureFingerprint
from provenance.index import CODE_BYTES, ExactIndex
from provenance.pdq import MATCH_DISTANCE, MIN_QUALITY, VARIANTS

#: At most so many matches are returned, the surest first.
DEFAULT_LIMIT = 100
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Match:
    """One record that looks like the file asked about.

    Attributes:
        entry_index: the record's index in the ledger.
        kind: ``pixels`` (equal decoded pixels), ``pdq`` or ``features``.
        distance: PDQ bits that differ, of 256, or None where PDQ did not find it.
        variant: how the file is turned against the original, one of :data:`provenance.pdq.VARIANTS`.
    """

    entry_index: int
    kind: str
    distance: int | None
    variant: str


class SimilarIndex:
    """Fingerprints of ledger entries, searchable."""

    def __init__(self) -> None:
        self._codes = ExactIndex()
        self._code_entries: list[int] = []
        self._pixels: dict[str, list[int]] = {}
        self._next_entry = 0

    @property
    def next_entry(self) -> int:
        """The first ledger index that was not added yet."""
        return self._next_entry

    def add(self, entry_index: int, fingerprints: Mapping[str, Any], blob: bytes | None = None) -> None:
        """Make one entry findable.

        Args:
            entry_index: its index in the ledger.
            fingerprints: the record's; values of unexpected type are passed over (anyone can write one).
            blob: what :meth:`~provenance.fingerprint.Fingerprint.to_blob` gave, or None.
        """
        self._next_entry = max(self._next_entry, entry_index + 1)
        pixels = fingerprints.get("pixels_sha256")
        if isinstance(pixels, str):
            self._pixels.setdefault(pixels, []).append(entry_index)
        code, quality = fingerprints.get("pdq"), fingerprints.get("pdq_quality")
        # the hash of a flat picture fits too many others
        well_formed = isinstance(code, str) and len(code) == 2 * CODE_BYTES and _HEX.issuperset(code)
        if well_formed and isinstance(quality, int) and quality >= MIN_QUALITY:
            self._codes.add(np.frombuffer(bytes.fromhex(str(code)), dtype=np.uint8)[None])
            self._code_entries.append(entry_index)

    def sync(self, entries: Iterable[tuple[int, Mapping[str, Any], bytes | None]]) -> int:
        """Add many ``(entry_index, fingerprints, blob)``; returns how many."""
        count = 0
        for entry_index, fingerprints, blob in entries:
            self.add(entry_index, fingerprints, blob)
            count += 1
        return count

    def search(self, fingerprint: Fingerprint, *, limit: int = DEFAULT_LIMIT) -> list[Match]:
        """Records that look like the fingerprinted file, the surest first."""
        if not isinstance(fingerprint, PictureFingerprint):
            return []
        matches: dict[int, Match] = {}
        for entry_index in self._pixels.get(fingerprint.pixels_sha256 or "", ()):
            matches[entry_index] = Match(entry_index, "pixels", 0, VARIANTS[0])
        if fingerprint.pdq_usable:
            hits = self._codes.search(fingerprint.variants, MATCH_DISTANCE)
            for position in np.argsort(hits.distances, kind="stable"):
                entry_index = self._code_entries[hits.items[position]]
                variant = VARIANTS[hits.queries[position]]
                matches.setdefault(
                    entry_index, Match(entry_index, "pdq", int(hits.distances[position]), variant)
                )
        return list(matches.values())[:limit]
