"""The objects that a service answers with beside those of the C2PA API: what ``client`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provenance.resolve import bands
from provenance.resolve.bindings import PDQ
from provenance.resolve.matches import Match
from provenance.resolve.public import PublicRecords

#: So many records are in one answer at most; ``next`` leads to the others.
PAGE = 200


def supported_algorithms() -> dict[str, Any]:
    """``c2pa.softBindingAlgList``: fingerprints alone, for there is no watermark here."""
    return {"watermarks": [], "fingerprints": [{"alg": PDQ}]}


def band_counts(public: PublicRecords) -> dict[str, Any]:
    """The same for everybody who asks."""
    records, counts = public.band_counts()
    about = {"alg": PDQ, "band": bands.BAND, "band_bits": bands.BAND_BITS, "flips": bands.FLIPS}
    return {"schema": "veilmark.bands/1", **about, "records": records, "counts": counts}


def bucket(public: PublicRecords, question: bands.Question, after: int) -> dict[str, Any]:
    matches, following = public.bucket(question, after, limit=PAGE)
    about = {"bits": question.bits, "prefix": question.prefix}
    return {"schema": "veilmark.bucket/1", **about, **_page(matches, following)}


def records(public: PublicRecords, *, after: int = 0, limit: int = 50) -> dict[str, Any]:
    """All public records, in the order in which they were listed."""
    matches, following = public.page(after, limit=min(limit, PAGE))
    return {"schema": "veilmark.records/1", **_page(matches, following)}


def _page(matches: Sequence[Match], following: int | None) -> dict[str, Any]:
    return {"records": [match.to_json() for match in matches], "next": following}
