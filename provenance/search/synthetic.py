"""Is a file, by its bytes or its looks, one that the own ledger calls synthetic?"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.fingerprint.picture import Fingerprint
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.record import Relation
from provenance.search.firsts import FirstRecords
from provenance.verdict import MatchKind

if TYPE_CHECKING:
    from provenance.fingerprint.picture import Fingerprint


class SyntheticRecords:
    """The records of synthetic media in the own ledger; safe to use from several threads.

    Args:
        folder: where the (rebuildable) cache of their fingerprints is kept.
        ledger: the own ledger; entries that are new since the last question are looked at first.
        firsts: the file of :class:`provenance.search.firsts.FirstRecords`, which says whether there are any.
    """

    def __init__(self, folder: Path, ledger: Log, firsts: Path) -> None:
        self._folder = folder
        self._ledger = ledger
        self._lock = threading.Lock()
        self._firsts = firsts
        self._known: FirstRecords | None = None

    def contradicting(self, sha256: str, fingerprint: Fingerprint) -> Entry | None:
        """The first record that calls this file, or one that looks like it, synthetic; None where there is none, or
        where the ledger says something else about this very file.

        Args:
            sha256: of the file, hex.

        Raises:
            LedgerError: the ledger or the cache cannot be read.
        """
        exact = [
            entry
            for entry in self._ledger.find_sha256(sha256)
            if sha256 in (entry.record.file_sha256, entry.record.source_sha256)
            and entry.record.relation is not Relation.RECORDED
        ]
        if exact:
            return next((entry for entry in exact if entry.record.relation is Relation.SYNTHETIC), None)
        with self._lock:
            self._known = self._known or FirstRecords(self._firsts, self._ledger)
            if self._known.first_synthetic() is None:
                return None
            return self._alike(fingerprint)

    def _alike(self, fingerprint: Fingerprint) -> Entry | None:
        from provenance.search.similar import SimilarIndex

        with SimilarIndex(self._folder, source=self._ledger.log_key) as index:
            index.sync(
                (entry.index, *_if_synthetic(entry)) for entry in self._ledger.entries(index.next_entry)
            )
            matches = index.search(fingerprint)
        size = self._ledger.size
        # the cache may know entries that a restored ledger has lost
        found = (self._ledger.entry(match.entry_index) for match in matches if match.entry_index < size)
        kinds = {match.entry_index: match.kind for match in matches}
        counting = [entry for entry in found if _counts(entry, kinds[entry.index])]
        return min(counting, key=lambda entry: entry.index, default=None)


def _if_synthetic(entry: Entry) -> tuple[Mapping[str, Any], bytes | None]:
    """What makes an entry findable, where it is synthetic; the others are only noted as seen."""
    if entry.record.relation is Relation.SYNTHETIC:
        return entry.record.fingerprints, entry.features
    return {}, None


def _counts(entry: Entry, kind: MatchKind) -> bool:
    """The same sound may lie under another picture, and another take before the same background; each be a recording
    all the same.
    """
    if kind is MatchKind.FEATURES:
        return not entry.record.media_type.startswith("video/")
    return kind is not MatchKind.SOUND or entry.record.media_type.startswith("audio/")
