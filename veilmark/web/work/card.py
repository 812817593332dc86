"""One file's verdict as a page shows it: a card, its pictures, and the receipt of the own ledger."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.pages.thumbnails import pictures_of
from provenance.pages.verdict import verdict_card
from provenance.resolve.matches import Match
from provenance.resolve.receipts import best_receipt
from provenance.search.lookup import Lookup
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.store import TrustStore
from provenance.verdict import MatchKind, SimilarRecord, State, Verdict
from provenance.verify import verify_file
from veilmark.web.api.engine import Engine
from veilmark.web.scrubbing import Scrub
from veilmark.web.settings import Settings
from veilmark.web.work.comparison import comparison
from veilmark.web.work.gallery import Gallery

_MOST_PUBLIC = 20


@dataclass
class Carded:
    """What was made of one file.

    Attributes:
        card: what ``verdict_card.html`` shows.
        pictures: names of pictures in the outbox.
        seen: pictures for the report, by their place.
        receipt: name of the receipt in the outbox, or empty.
        own_log: origin of the own log, where it was looked up.
    """

    verdict: Verdict
    card: dict[str, Any]
    pictures: list[str] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)
    receipt: str = ""
    own_log: str = ""


def make_card(
    path: Path, outbox: Path, address: str, number: int, everything: bool, engine: Engine, scrub: Scrub
) -> Carded:
    """Verify a file, and write what its page needs into the outbox.

    Args:
        address: under which the outbox is fetched.
        number: of the file among those of its job.
        everything: show records that are not public, too.
    """
    settings = engine.settings
    gallery = Gallery(outbox, address, f"picture-{number}")
    lookup = engine.lookup if everything else None
    own_log = lookup.ledger.origin if lookup else ""
    public = [] if everything else _public(path, settings, engine)
    verdict = _verdict(path, engine.trust, lookup, scrub)
    if public:
        verdict.similar = [as_similar(one, engine.trust) for one in public]
    seen = pictures_of(path, verdict)
    card = verdict_card(verdict, seen, own_log, show=gallery.add, record_link="/ledger/{}".format)
    if verdict.state is State.NO_CREDENTIAL and any(not one.exact for one in verdict.similar):
        card["tone"], card["word"] = "like", "Found by likeness"
    card["compare"] = (
        comparison(path, verdict, engine.ledger, settings.home, gallery) if verdict.similar else None
    )
    card["receipt"] = _receipt(outbox, number, verdict, engine)
    return Carded(verdict, card, gallery.names, seen, card["receipt"], own_log)


def unlooked(path: Path, error: VeilmarkError, scrub: Scrub) -> Carded:
    """The card of a file that could not be looked at."""
    verdict = Verdict(path.name, State.NOT_CHECKED, scrub(str(error)))
    card = {**verdict_card(verdict, {}, ""), "compare": None, "receipt": ""}
    return Carded(verdict, card)


def _public(path: Path, settings: Settings, engine: Engine) -> list[Match]:
    """The public records of something like this; the receipt of this very file is laid beside it."""
    if not settings.discoverable or not settings.home.has_ledger():
        return []
    try:
        found = engine.public.by_content(MediaFile.open(path), limit=_MOST_PUBLIC)
    except VeilmarkError:
        return []  # what is wrong with it, its verdict says
    own = next((one for one in found if one.kind is MatchKind.FILE), None)
    beside = with_suffix_added(path, RECEIPT_SUFFIX)
    if own is not None and not beside.exists():
        beside.write_bytes(own.receipt.to_bytes())
    return found


def as_similar(match: Match, trust: TrustStore) -> SimilarRecord:
    """A public record as a verdict lists it."""
    signed = match.receipt.opening.signed
    return SimilarRecord(
        index=match.receipt.index,
        match=match.kind or MatchKind.PDQ,
        relation=signed.record.relation,
        signer_name=signed.record.signer.get("name", ""),
        key_id=signed.key_id,
        signer_trusted=trusted_anchor(signed.chain_der, trust.anchors_pem) is not None,
        time=signed.record.time,
        logged_at=match.logged_at,
        file_sha256=signed.record.file_sha256,
        distance=match.distance,
        transform=match.transform,
        confirmed=match.confirmed,
        offset_seconds=match.offset_seconds,
        outline=match.outline,
    )


def _verdict(path: Path, trust: TrustStore, lookup: Lookup | None, scrub: Scrub) -> Verdict:
    try:
        verdict = verify_file(path, trust, lookup=lookup)
    except VeilmarkError as error:
        verdict = Verdict(path.name, State.NOT_CHECKED, str(error))
    verdict.path = path.name
    verdict.headline = scrub(verdict.headline)
    verdict.warnings = [scrub(one) for one in verdict.warnings]
    verdict.checks = [replace(one, detail=scrub(one.detail)) for one in verdict.checks]
    return verdict


def _receipt(outbox: Path, number: int, verdict: Verdict, engine: Engine) -> str:
    """The name under which the receipt of the own ledger can be fetched, where this very file is recorded."""
    own = [one for one in verdict.similar if one.match is MatchKind.FILE]
    if not own:
        return ""
    name = f"{number + 1}-{verdict.path}{RECEIPT_SUFFIX}"
    data = best_receipt(engine.settings.home, engine.ledger, own[0].index).to_bytes()
    (outbox / name).write_bytes(data)
    return name
