"""What a service answers from: the discoverable records, and never another one.

Everything is looked up in structures that hold these records alone. What is asked about a record that is not
discoverable takes the same way, and the same time, as what is asked about nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoCredentialError, StoreError
from provenance.fingerprint.pdq import MATCH_DISTANCE, VARIANTS
from provenance.fingerprint.picture import fingerprint_file
from provenance.home import Home
from provenance.ledger.embedded import discoverable
from provenance.ledger.embedded.discoverable import Listing
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.ledger.receipt import Receipt
from provenance.manifest import jumbf
from provenance.media.media_file import MediaFile
from provenance.resolve import bands
from provenance.resolve.bindings import PDQ, pdq_of
from provenance.resolve.matches import Match
from provenance.resolve.receipts import best_receipt
from provenance.search.hash_index import CODE_BYTES, ExactIndex
from provenance.search.similar import SimilarIndex
from provenance.store.local import LocalStore
from provenance.verdict import MatchKind

#: A receipt is made anew after so many seconds, when it may have got an anchor or a cosignature; so many are kept.
_RECEIPT_SECONDS, _MAX_RECEIPTS = 60.0, 1024


@dataclass
class _Known:
    """The discoverable records as of one state of the list."""

    taken_back: int
    last_seq: int = 0
    by_sha256: dict[str, list[int]] = field(default_factory=dict)
    by_file: dict[str, list[int]] = field(default_factory=dict)
    codes: ExactIndex = field(default_factory=ExactIndex)
    coded: list[Listing] = field(default_factory=list)
    band: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, dtype=np.uint16))


class PublicRecords:
    """The discoverable records of a ledger. Safe to use from several threads."""

    def __init__(self, home: Home, ledger: Log) -> None:
        self._home, self._ledger = home, ledger
        self._turn, self._search_turn = threading.Lock(), threading.Lock()
        self._known = _Known(-1)
        self._index: tuple[int, int, SimilarIndex] | None = None
        self._receipts: dict[int, tuple[float, Receipt]] = {}

    def close(self) -> None:
        """Let go of the index's files."""
        if self._index is not None:
            self._index[2].close()
            self._index = None

    def count(self) -> int:
        """How many records are discoverable."""
        with self._ledger.reading() as connection:
            return discoverable.count(connection)

    def by_binding(self, alg: str, value: str, *, limit: int = 10) -> list[Match]:
        """Records whose hash is near a soft binding's value, the nearest first.

        Raises:
            UsageError: see :func:`provenance.resolve.bindings.pdq_of`.
        """
        code = np.frombuffer(pdq_of(alg, value), dtype=np.uint8).reshape(1, CODE_BYTES)
        with self._turn:
            known = self._refreshed()
            hits = known.codes.search(code, MATCH_DISTANCE)
            near = {
                known.coded[item].entry: int(distance)
                for item, distance in zip(hits.items, hits.distances, strict=True)
            }
        found = []
        for entry in self._listed(near, limit):
            kind = MatchKind.VIDEO if entry[1].record.fingerprints.get("kind") == "video" else MatchKind.PDQ
            found.append(self._match(*entry, kind=kind, distance=near[entry[0].entry], transform=VARIANTS[0]))
        return found

    def by_sha256(self, digest: str, *, limit: int = 10) -> list[Match]:
        """Records that name this SHA-256 (hex) as their file, their source or their manifest, in log order."""
        with self._turn:
            entries = sorted(self._refreshed().by_sha256.get(digest.lower(), ()))
        return [
            self._match(*one, kind=_kind_of(one[1], digest.lower()), confirmed=True)
            for one in self._listed(entries, limit)
        ]

    def receipt_of_file(self, digest: str) -> bytes | None:
        """The receipt of the first public record of this very file, by its SHA-256 (hex); None where there is none."""
        with self._turn:
            entries = sorted(self._refreshed().by_file.get(digest, ()))
        with self._ledger.reading() as connection:
            listed = discoverable.of_entries(connection, entries[:1])
        return self._receipt(entries[0]).to_bytes() if listed else None

    def by_content(
        self, file: MediaFile, *, algorithms: Iterable[str] | None = None, limit: int = 10
    ) -> list[Match]:
        """Records of the same or a similar file, the surest first.

        Args:
            algorithms: look by these alone; with any but :data:`~provenance.resolve.bindings.PDQ` nothing is found.

        Raises:
            MediaError: the file cannot be decoded.
        """
        if algorithms is not None and PDQ not in set(algorithms):
            return []
        found = self.by_sha256(file.sha256, limit=limit)
        exact = {match.receipt.index for match in found}
        fingerprint = fingerprint_file(file)
        with self._search_turn:
            similar = self._similar_index().search(fingerprint, known=exact)
        by_entry = {match.entry_index: match for match in similar if match.entry_index not in exact}
        for listing, entry in self._listed(by_entry, max(0, limit - len(found))):
            one = by_entry[listing.entry]
            found.append(
                self._match(
                    listing,
                    entry,
                    kind=one.kind,
                    distance=one.distance,
                    confirmed=one.confirmed,
                    transform=one.variant,
                    offset_seconds=one.offset,
                    outline=[[x, y] for x, y in one.outline] or None,
                )
            )
        return found

    def by_index(self, index: int) -> Match:
        """One record.

        Raises:
            NoCredentialError: there is none of that number that others may see.
        """
        for one in self._listed([index], 1):
            return self._match(*one)
        raise NoCredentialError(f"no public record has the number {index}")

    def page(self, after: int = 0, *, limit: int = 50) -> tuple[list[Match], int | None]:
        """Records in the order in which they were listed, and what to give as ``after`` for the next ones, or None."""
        with self._ledger.reading() as connection:
            listed = discoverable.after(connection, after, limit=limit + 1)
        return self._paged(listed, limit)

    def manifest(self, manifest_id: str, *, active_only: bool = False) -> bytes:
        """The manifest store of a record, or its active manifest alone.

        Raises:
            NoCredentialError: no public record has a manifest of that name, or the store has lost it.
        """
        with self._ledger.reading() as connection:
            listed = discoverable.of_manifest(connection, manifest_id) if manifest_id else []
        for listing in listed:
            cid = self._ledger.entry(listing.entry).record.manifest_cid
            try:
                data = LocalStore(self._home.store).get(str(cid))
                return jumbf.active_only(data) if active_only else data
            except (StoreError, jumbf.MalformedError):
                continue
        raise NoCredentialError(f"no manifest {manifest_id[:120]!r} here")

    def band_counts(self) -> tuple[int, list[int]]:
        """How many records can be asked for by :mod:`~provenance.resolve.bands`, and how many each beginning has."""
        with self._turn:
            known = self._refreshed()
            return len(known.band), bands.counts_of(known.band)

    def bucket(
        self, question: bands.Question, after: int = 0, *, limit: int = 200
    ) -> tuple[list[Match], int | None]:
        """The records that answer a question, in the order in which they were listed; see :meth:`page`."""
        with self._turn:
            known = self._refreshed()
            chosen = [known.coded[place] for place in bands.answering(known.band, question)]
        return self._paged([one for one in chosen if one.seq > after][: limit + 1], limit)

    # ------------------------------------------------------------------ inside

    def _paged(self, listed: list[Listing], limit: int) -> tuple[list[Match], int | None]:
        matches = [self._match(*one) for one in self._listed([one.entry for one in listed[:limit]], limit)]
        return matches, listed[limit - 1].seq if len(listed) > limit else None

    def _listed(self, entries: Iterable[int], limit: int) -> list[tuple[Listing, Entry]]:
        """Those that are discoverable now, in the order given: the last word before anything is answered."""
        wanted = list(entries)
        with self._ledger.reading() as connection:
            listed = discoverable.of_entries(connection, wanted)
        chosen = [listed[index] for index in wanted if index in listed][:limit]
        return [(one, self._ledger.entry(one.entry)) for one in chosen]

    def _match(self, listing: Listing, entry: Entry, **about: Any) -> Match:
        return Match(self._receipt(entry.index), listing.manifest_id, entry.logged_at, **about)

    def _receipt(self, index: int) -> Receipt:
        now = time.monotonic()
        kept = self._receipts.get(index)
        if kept is not None and now - kept[0] < _RECEIPT_SECONDS:
            return kept[1]
        receipt = best_receipt(self._home, self._ledger, index)
        if len(self._receipts) >= _MAX_RECEIPTS:
            self._receipts.clear()
        self._receipts[index] = (now, receipt)
        return receipt

    def _refreshed(self) -> _Known:
        """What is known, brought up to date; the caller holds the turn."""
        with self._ledger.reading() as connection:
            taken_back, last_seq = discoverable.state(connection)
            known = self._known if self._known.taken_back == taken_back else _Known(taken_back)
            if known.last_seq != last_seq:
                fresh = discoverable.after(connection, known.last_seq)
            else:
                fresh = []
        for listing in fresh:
            record = self._ledger.entry(listing.entry).record
            known.by_file.setdefault(record.file_sha256, []).append(listing.entry)
            for digest in {record.file_sha256, record.source_sha256, record.manifest_sha256}:
                if digest is not None:
                    known.by_sha256.setdefault(digest, []).append(listing.entry)
        coded = [one for one in fresh if one.pdq is not None]
        if coded:
            joined = b"".join(one.pdq for one in coded if one.pdq is not None)
            known.codes.add(np.frombuffer(joined, dtype=np.uint8).reshape(-1, CODE_BYTES))
            known.coded += coded
            fresh_bands = [bands.band_of(one.pdq) for one in coded if one.pdq is not None]
            known.band = np.concatenate([known.band, np.array(fresh_bands, dtype=np.uint16)])
        known.last_seq = last_seq
        self._known = known
        return known

    def _similar_index(self) -> SimilarIndex:
        """The index over these records alone, up to date; made anew when one was taken back."""
        with self._ledger.reading() as connection:
            taken_back, last_seq = discoverable.state(connection)
            known_state = self._index[:2] if self._index else None
            since = known_state[1] if known_state and known_state[0] == taken_back else 0
            fresh = discoverable.after(connection, since) if known_state != (taken_back, last_seq) else []
        if self._index is None or self._index[0] != taken_back:
            self.close()
            source = f"{self._ledger.log_key} {taken_back}"
            self._index = (taken_back, 0, SimilarIndex(self._home.data / "discoverable", source=source))
        index = self._index[2]
        entries = (self._ledger.entry(one.entry) for one in fresh)
        index.sync((entry.index, entry.record.fingerprints, entry.features) for entry in entries)
        self._index = (taken_back, last_seq, index)
        return index


def _kind_of(entry: Entry, digest: str) -> MatchKind:
    record = entry.record
    if record.file_sha256 == digest:
        return MatchKind.FILE
    return MatchKind.SOURCE if record.source_sha256 == digest else MatchKind.MANIFEST
