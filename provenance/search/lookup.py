"""Look-up in the own ledger: by exact hash and by likeness, in log order."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from provenance.home import Home
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.ledger.opening import database_address, open_ledger
from provenance.search.firsts import FirstRecords
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.store import TrustStore
from provenance.verdict import MatchKind, SimilarRecord

if TYPE_CHECKING:
    from provenance.manifest.read import ManifestReport
    from provenance.media.media_file import MediaFile
    from provenance.search.similar import Match, SimilarIndex


class Lookup:
    """A ledger and the index over its fingerprints; the index is brought up to date when first used.

    Safe to use from several threads; ``turn`` is held while the index is asked.
    """

    def __init__(self, home: Home, ledger: Log) -> None:
        self.home = home
        self.ledger = ledger
        self.turn = threading.Lock()
        self._seen = -1

    @cached_property
    def index(self) -> SimilarIndex:
        from provenance.search.similar import SimilarIndex

        folder, source = self.home.data / "similar", self.ledger.log_key
        address = database_address(self.home)
        if address is None:
            index = SimilarIndex(folder, source=source)
        else:
            from provenance.search.postgres_store import PostgresFingerprints

            index = SimilarIndex(store=PostgresFingerprints(address, folder, source))
        self._sync(index)
        return index

    def refresh(self) -> None:
        """Take up what was logged since the index was first used: for a look-up that is kept open."""
        with self.turn:
            size = self.ledger.size
            if size == self._seen:
                return
            self._seen = size
            self.__dict__.pop("firsts", None)
            if "index" in self.__dict__:
                self._sync(self.index)

    def _sync(self, index: SimilarIndex) -> None:
        index.sync(
            (entry.index, entry.opening.signed.record.fingerprints, entry.features)
            for entry in self.ledger.entries(index.next_entry)
        )

    @cached_property
    def firsts(self) -> FirstRecords:
        return FirstRecords(self.home.data / "firsts.json", self.ledger)

    def close(self) -> None:
        if "index" in self.__dict__:
            self.index.close()


@contextmanager
def open_lookup(home: Home) -> Iterator[Lookup | None]:
    """The look-up over this machine's ledger, or None where there is no ledger."""
    if not home.has_ledger():
        yield None
        return
    with open_ledger(home) as ledger:
        lookup = Lookup(home, ledger)
        try:
            yield lookup
        finally:
            lookup.close()


def similar_records(
    file: MediaFile,
    lookup: Lookup,
    trust: TrustStore,
    report: ManifestReport | None = None,
    *,
    likeness: bool | None = True,
) -> list[SimilarRecord]:
    """Every record of the same or a similar file, in log order.

    Args:
        report: the file's manifest, whose hash is looked up too.
        likeness: whether to look for similar files too, for which the file is decoded; None does so unless a record of
            this very file is by a signer whom the verifier trusts, and none before it could speak against it
            (:mod:`provenance.search.firsts`).

    Raises:
        MediaError: the file cannot be decoded, so it cannot be looked up by likeness.
    """
    exact: dict[int, tuple[Entry, MatchKind]] = {}
    hashes = [file.sha256]
    if report is not None:
        hashes.append(hashlib.sha256(report.manifest_bytes).hexdigest())
    for value in hashes:
        for entry in lookup.ledger.find_sha256(value):
            exact.setdefault(entry.index, (entry, _kind_of(entry, value)))
    found = [_similar(entry, kind, trust, None) for entry, kind in exact.values()]
    if likeness is None:
        own = [record.index for record in found if record.match is MatchKind.FILE and record.signer_trusted]
        likeness = not own or lookup.firsts.may_speak_against(exact[min(own)][0])
    if not likeness:
        return sorted(found, key=lambda record: record.index)
    from provenance.fingerprint.picture import fingerprint_file

    size = lookup.ledger.size
    fingerprint = fingerprint_file(file)
    with lookup.turn:
        matches = lookup.index.search(fingerprint, known=exact)
    for match in matches:
        # the index may know entries that a restored ledger has lost
        if match.entry_index not in exact and match.entry_index < size:
            found.append(_similar(lookup.ledger.entry(match.entry_index), match.kind, trust, match))
    return sorted(found, key=lambda record: record.index)


def _kind_of(entry: Entry, value: str) -> MatchKind:
    record = entry.opening.signed.record
    if record.file_sha256 == value:
        return MatchKind.FILE
    return MatchKind.SOURCE if record.source_sha256 == value else MatchKind.MANIFEST


def _similar(entry: Entry, kind: MatchKind, trust: TrustStore, match: Match | None) -> SimilarRecord:
    signed = entry.opening.signed
    return SimilarRecord(
        index=entry.index,
        match=kind,
        relation=signed.record.relation,
        signer_name=signed.record.signer.get("name", ""),
        key_id=signed.key_id,
        signer_trusted=trusted_anchor(signed.chain_der, trust.anchors_pem) is not None,
        time=signed.record.time,
        logged_at=entry.logged_at,
        file_sha256=signed.record.file_sha256,
        distance=match.distance if match else None,
        transform=match.variant if match else "",
        confirmed=match is None or match.confirmed,
        offset_seconds=match.offset if match else None,
        outline=[[x, y] for x, y in match.outline] if match and match.outline else None,
    )
