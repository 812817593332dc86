"""From a stripped or altered file back to its record: near-duplicate search over fingerprints.

Candidates come from three look-ups: equal pixels, PDQ hashes nearby, and votes of local features. No candidate
is believed before its local features agree with the file's by geometry (:mod:`provenance.fingerprint.geometry`), so a
made hash collision is refused. Only where there are no features to compare is a PDQ match passed on, unconfirmed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from provenance.errors import LedgerError
from provenance.fingerprint.geometry import Placement, place
from provenance.fingerprint.pdq import MATCH_DISTANCE, VARIANTS
from provenance.fingerprint.picture import Fingerprint, PictureFingerprint
from provenance.fingerprint.sound import SoundFingerprint
from provenance.fingerprint.video import VideoFingerprint
from provenance.search.alignment import align_sound, align_video
from provenance.search.hash_index import CODE_BYTES, ExactIndex, Index, Searchable
from provenance.search.index_store import PARTS, Fingerprints, FingerprintStore, Owners
from provenance.search.query import Query, without_bars
from provenance.search.stored import codes_of, kind_of, parsed_sound, parsed_video, part_of, pixels_of
from provenance.verdict import MatchKind

#: At most so many matches are returned, the surest first.
DEFAULT_LIMIT = 100
_MAX_PDQ_CANDIDATES = 48
#: So far off a hash is worth a look at the features, which decide; other pictures are some 128 bits off.
_WORTH_A_LOOK = 48
#: Of a stretched picture so many fine places must agree: 32 and more do, of a made collision of the hash 8 at most.
_MIN_FINE = 16
_MAX_VOTED = 24
_MIN_VOTES = 3
#: So many stills of a video are asked about, and so many of one that is kept are compared with each.
_ASKED_STILLS, _STILLS_OF_ONE = 6, 3
_MAX_ALIGNED = 32
#: Of a long burst so many look-alikes are compared point by point, those that share most first.
_ENOUGH = 16
#: Where that many have nearly the file's hash, so many are, by so many of its points and so many agreeing places.
_ENOUGH_OF_A_BURST, _BURST_POINTS, _SURE = 8, 128, 30
#: A picture with fewer points than this has nothing that geometry could compare.
_FEW_POINTS = 24
#: The variant of a mirrored (or not) picture that is then turned counter-clockwise by 0, 90, 180, 270 degrees.
_TURNED = {False: (0, 1, 2, 3), True: (4, 6, 5, 7)}
#: Variants of which width and height are exchanged.
_SIDEWAYS = ("turned 90", "turned 270", "transposed", "anti-transposed")
_WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class Match:
    """One record that looks like the file asked about.

    Attributes:
        entry_index: the record's index in the ledger.
        kind: what is alike; ``PIXELS`` means equal decoded pixels.
        confirmed: geometry (for video and sound: the run of agreeing moments) bears it out; False only for a PDQ
            match where there are no features to compare, and for a video of which few frames lie in the original.
        distance: PDQ bits that differ, of 256 (for video the mean over frames), or None where PDQ did not find it.
        variant: what must be done to the file to make it look like the original, one of
            :data:`provenance.fingerprint.pdq.VARIANTS`.
        placement: where the file lies in the original, or None where that is not known.
        offset: for video and sound, where in the original the file begins, seconds; for a picture found in a
            video, the moment it shows; else None.
    """

    entry_index: int
    kind: MatchKind
    confirmed: bool
    distance: int | None
    variant: str
    placement: Placement | None = None
    offset: float | None = None

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """The part of the original that the file shows: corners as fractions of its width and height."""
        if self.placement:
            return self.placement.outline
        return _WHOLE if self.kind is MatchKind.PIXELS else ()


class _Near(NamedTuple):
    """The stored code that is nearest to one of a picture's eight."""

    distance: int
    variant: int
    time_ms: int


class SimilarIndex:
    """Fingerprints of ledger entries, searchable.

    Args:
        folder: where to keep the (rebuildable) cache; None keeps it in memory.
        source: names the ledger that the entries come from; a cache of another ledger is emptied.
        make_index: what searches the PDQ hashes. The default needs no time to build; a server that stays up with
            millions of records does better with :class:`provenance.search.multi_index.MultiIndex`.
        store: where the fingerprints lie, when not in ``folder``.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        source: str = "",
        make_index: Callable[[], Index] = ExactIndex,
        store: Fingerprints | None = None,
    ) -> None:
        self._make_index = make_index
        self._store: Fingerprints = store or FingerprintStore(folder, source)
        self._codes: tuple[int, Index, list[tuple[int, int]]] | None = None

    def __enter__(self) -> SimilarIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files; what was added is already kept."""
        self._store.close()

    @property
    def next_entry(self) -> int:
        """The first ledger index that was not added yet."""
        return self._store.next_entry

    def add(self, entry_index: int, fingerprints: Mapping[str, Any], blob: bytes | None = None) -> None:
        """Make one entry findable; an entry that is known already is left as it is.

        Args:
            entry_index: its index in the ledger.
            fingerprints: the record's; values of unexpected type are passed over (anyone can write one).
            blob: what :meth:`~provenance.fingerprint.picture.Fingerprint.to_blob` gave, or None.
        """
        self.sync([(entry_index, fingerprints, blob)])

    def sync(self, entries: Iterable[tuple[int, Mapping[str, Any], bytes | None]]) -> int:
        """Add many ``(entry_index, fingerprints, blob)``; returns how many were new.

        Raises:
            LedgerError: the cache cannot be written.
        """
        with _usable_cache():
            return self._store.add(
                (entry, kind_of(fingerprints), pixels_of(fingerprints), blob, codes_of(fingerprints, blob))
                for entry, fingerprints, blob in entries
            )

    def search(
        self, fingerprint: Fingerprint, *, limit: int = DEFAULT_LIMIT, known: Collection[int] = ()
    ) -> list[Match]:
        """Records that look like the fingerprinted file, the surest first.

        Every match but those with ``confirmed`` False was borne out by more than its hash.

        Args:
            known: entries that were found already (by their exact hash) and need not be compared.

        Raises:
            LedgerError: the cache cannot be read.
        """
        with _usable_cache():
            if self._store.is_empty:
                return []
            if isinstance(fingerprint, PictureFingerprint):
                return self._search_picture(fingerprint, known)[:limit]
            if isinstance(fingerprint, VideoFingerprint):
                return self._search_video(fingerprint)[:limit]
            if isinstance(fingerprint, SoundFingerprint):
                return self._search_sound(fingerprint)[:limit]
        return []

    def _search_picture(self, fingerprint: PictureFingerprint, known: Collection[int]) -> list[Match]:
        if fingerprint.pixels_sha256:
            equal = self._store.entries_with_pixels(fingerprint.pixels_sha256)
        else:
            equal = []
        found = {entry: Match(entry, MatchKind.PIXELS, True, 0, VARIANTS[0]) for entry in equal}
        asked = [fingerprint]
        inside = without_bars(fingerprint)
        if inside is not None:
            asked.append(inside)
        else:
            burst = self._search_burst(fingerprint, known)
            if burst:
                return sorted((burst | found).values(), key=_sureness)
        for one in asked:
            near = self._near_codes(one)
            query = Query(one.grey)
            # features are found beside bars as well as without them; the original shares more than its look-alikes
            candidates = self._voted(query) if one is fingerprint else []
            voted = {(entry, flipped) for entry, _, flipped in candidates}
            candidates += [
                (entry, 0, flipped)
                for entry, code in near.items()
                if (entry, flipped := code.variant in _TURNED[True]) not in voted
            ]
            confirmed = 0
            for entry, part, flipped in candidates:
                if entry in known or (entry in found and found[entry].confirmed):
                    continue
                match = self._confirm(entry, part, flipped, query, near.get(entry))
                if match:
                    found[entry] = match
                    confirmed += match.confirmed
                if confirmed == _ENOUGH:
                    break
        return sorted(found.values(), key=_sureness)

    def _search_burst(self, fingerprint: PictureFingerprint, known: Collection[int]) -> dict[int, Match]:
        """Those of very many look-alikes that share most features; empty where there are not many, or none is sure.

        The original of a copy shares far more than its neighbours, so few points of few candidates are enough.
        """
        near = self._near_codes(fingerprint)
        alike = [one for one in near.values() if one.distance <= MATCH_DISTANCE and not one.variant]
        if len(alike) < _ENOUGH:
            return {}
        ballots = [
            ballot
            for segment in self._store.feature_segments()
            for ballot in segment.vote(fingerprint.features, _MAX_VOTED)
        ]
        points = fingerprint.features.strongest(_BURST_POINTS)
        found: dict[int, Match] = {}
        for item, _ in sorted(ballots, key=lambda ballot: (-ballot[1], ballot[0]))[:_MAX_VOTED]:
            entry = item // PARTS
            blob = self._store.blob(entry)
            if blob and VideoFingerprint.knows(blob):
                return {}  # there is more to be said of films
            original = None if entry in known else part_of(blob, 0)
            placement = place(points, original) if original is not None else None
            if placement is None or placement.places < _SURE:
                continue
            close = near.get(entry)
            distance = close.distance if close and close.distance <= MATCH_DISTANCE else None
            kind = MatchKind.FEATURES if distance is None else MatchKind.PDQ
            found[entry] = Match(entry, kind, True, distance, VARIANTS[0], placement)
            if len(found) == _ENOUGH_OF_A_BURST:
                return found
        return {}

    def _search_video(self, fingerprint: VideoFingerprint) -> list[Match]:
        found = self._aligned(fingerprint)
        if fingerprint.inside is not None:
            found = self._aligned(fingerprint.inside) | found
        for match in self._search_sound(fingerprint.sound) if fingerprint.sound else ():
            found.setdefault(match.entry_index, match)
        found = self._by_stills(fingerprint) | found
        ranks = (MatchKind.VIDEO, MatchKind.FEATURES, MatchKind.SOUND)
        return sorted(
            found.values(),
            key=lambda match: (ranks.index(match.kind), match.distance or 0, match.entry_index),
        )

    def _aligned(self, fingerprint: VideoFingerprint) -> dict[int, Match]:
        """The videos whose frames agree with these in a run, by entry."""
        index, owners = self._code_index()
        landmarks = fingerprint.landmarks()
        codes = np.frombuffer(b"".join(code for _, code in landmarks), dtype=np.uint8).reshape(-1, CODE_BYTES)
        hits = index.search(codes, MATCH_DISTANCE)
        entries, counts = np.unique([owners[item][0] for item in hits.items], return_counts=True)
        found: dict[int, Match] = {}
        for entry in entries[np.argsort(-counts, kind="stable")][:_MAX_ALIGNED].tolist():
            original = parsed_video(self._store.blob(entry))
            alignment = align_video(fingerprint, original) if original else None
            if alignment:
                error = round(alignment.error)
                found[entry] = Match(
                    entry, MatchKind.VIDEO, True, error, VARIANTS[0], offset=alignment.offset
                )
        return found

    def _by_stills(self, fingerprint: VideoFingerprint) -> dict[int, Match]:
        """Pictures and videos that the video shows, mirrored, cut or re-timed as well, by entry.

        Confirmed where half of the stills that were asked about lie in them by geometry, unconfirmed where fewer do.
        """
        greys = [
            one.grey
            for one in fingerprint.stills
            if one.grey is not None and len(one.features) >= _FEW_POINTS
        ]
        greys = greys[:: max(1, -(-len(greys) // _ASKED_STILLS))]
        placed: dict[int, dict[int, tuple[Placement, bool]]] = {}
        for number, grey in enumerate(greys):
            query = Query(grey)
            for entry, part, mirrored in self._voted(query):
                if number in placed.get(entry, {}):
                    continue
                original = part_of(self._store.blob(entry), part)
                placement = place(query.features(mirrored), original) if original is not None else None
                if placement:
                    placed.setdefault(entry, {})[number] = placement, mirrored
        found = {}
        for entry, seen in placed.items():
            placement, mirrored = max(seen.values(), key=lambda pair: pair[0].places)
            quarter = round(-placement.angle / 90) % 4
            variant = VARIANTS[_TURNED[mirrored][quarter]]
            sure = 2 * len(seen) >= len(greys)
            found[entry] = Match(entry, MatchKind.FEATURES, sure, None, variant, placement)
        return found

    def _search_sound(self, fingerprint: SoundFingerprint) -> list[Match]:
        matches: list[tuple[float, Match]] = []
        for kind in ("sound", "video"):
            for entry, blob in self._store.blobs(kind):
                original = parsed_sound(blob, kind)
                alignment = align_sound(fingerprint, original) if original else None
                if alignment:
                    match = Match(entry, MatchKind.SOUND, True, None, VARIANTS[0], offset=alignment.offset)
                    matches.append((alignment.error, match))
        return [match for _, match in sorted(matches, key=lambda pair: (pair[0], pair[1].entry_index))]

    def _near_codes(self, fingerprint: PictureFingerprint) -> dict[int, _Near]:
        """Entry to its nearest code, nearest first."""
        if not fingerprint.pdq_usable:
            return {}
        index, owners = self._code_index()
        radius = _WORTH_A_LOOK if isinstance(index, ExactIndex) else MATCH_DISTANCE  # it costs others much
        hits = index.search(fingerprint.variants, radius)
        nearest: dict[int, _Near] = {}
        for position in np.lexsort((hits.items, hits.distances)):
            entry, time = owners[hits.items[position]]
            near = _Near(int(hits.distances[position]), int(hits.queries[position]), time)
            nearest.setdefault(entry, near)
            if len(nearest) == _MAX_PDQ_CANDIDATES:
                break
        return nearest

    def _code_index(self) -> tuple[Searchable, Owners]:
        """The codes, and ``(entry, time in ms)`` of each."""
        served = self._store.served_codes()
        if served is not None:
            return served
        count = self._store.code_count()
        if self._codes is None or self._codes[0] != count:
            rows = list(self._store.codes())
            index = self._make_index()
            joined = b"".join(code for *_, code in rows)
            index.add(np.frombuffer(joined, dtype=np.uint8).reshape(-1, CODE_BYTES))
            self._codes = (count, index, [(entry, time) for entry, time, _ in rows])
        return self._codes[1], self._codes[2]

    def _voted(self, query: Query) -> list[tuple[int, int, bool]]:
        """``(entry, number of the still, mirrored)`` of the pictures, and of at most three stills of a video, that
        share most features, most first.
        """
        ballots: list[tuple[int, int, bool]] = []
        for segment in self._store.feature_segments():
            for mirrored, features in query.both().items():
                votes = segment.vote(features, _MAX_VOTED * _STILLS_OF_ONE)
                ballots += [(count, item, mirrored) for item, count in votes if count >= _MIN_VOTES]
        ballots.sort(key=lambda ballot: (-ballot[0], ballot[1]))
        chosen: list[tuple[int, int, bool]] = []
        kept: Counter[tuple[int, bool]] = Counter()
        for _, item, mirrored in ballots:
            entry, part = divmod(item, PARTS)
            kept[entry, mirrored] += 1
            if kept[entry, mirrored] <= _STILLS_OF_ONE and len(chosen) < _MAX_VOTED:
                chosen.append((entry, part, mirrored))
        return chosen

    def _confirm(
        self, entry: int, part: int, mirrored: bool, query: Query, near: _Near | None
    ) -> Match | None:
        blob = self._store.blob(entry)
        original = part_of(blob, part)
        alike = near is not None and near.distance <= MATCH_DISTANCE
        distance = near.distance if near and alike else None
        if original is not None:
            placement = place(query.features(mirrored), original)
            if placement is None and near:
                # whole pictures alike, points not: stretched, perhaps
                turned = VARIANTS[near.variant] in _SIDEWAYS
                stretched = query.stretched_to(original, mirrored=mirrored, sideways=turned)
                placement = place(stretched, original) if stretched is not None else None
                if placement and placement.fine < _MIN_FINE:
                    placement = None
            if placement:
                quarter = round(-placement.angle / 90) % 4
                variant = VARIANTS[_TURNED[mirrored][quarter]]
                film = parsed_video(blob)
                if film:
                    moment = film.stills[part].time_ms / 1000
                    return Match(entry, MatchKind.VIDEO, True, distance, variant, placement, offset=moment)
                return Match(
                    entry, MatchKind.PDQ if alike else MatchKind.FEATURES, True, distance, variant, placement
                )
        if not (near and alike):
            return None
        if parsed_video(blob):
            # a still of a video: its moment is known, but not kept in such detail that geometry could confirm it
            return Match(
                entry, MatchKind.VIDEO, False, distance, VARIANTS[near.variant], offset=near.time_ms / 1000
            )
        if near and (original is None or max(len(query.features(mirrored)), len(original)) < _FEW_POINTS):
            return Match(entry, MatchKind.PDQ, False, distance, VARIANTS[near.variant])
        return None


@contextlib.contextmanager
def _usable_cache() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(
            f"the look-up cache cannot be used: {error}",
            hint="free some space, or delete the folder 'similar' in veilmark's data folder; it is made anew",
        ) from error


def _sureness(match: Match) -> tuple[int, int, int]:
    """Equal pixels first, then by the number of agreeing places, unconfirmed ones last."""
    rank = 0 if match.kind is MatchKind.PIXELS else 1 if match.confirmed else 2
    return rank, -match.placement.places if match.placement else 0, match.entry_index
