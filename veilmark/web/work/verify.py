"""The verifying job: each file's verdict, as a card that a page shows and as a report to keep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.pages.thumbnails import pictures_of
from provenance.pages.verdict import verdict_card, verdict_page
from provenance.resolve.matches import Match
from provenance.resolve.receipts import best_receipt
from provenance.search.lookup import Lookup
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.store import TrustStore
from provenance.verdict import MatchKind, SimilarRecord, State, Verdict
from provenance.verify import verify_file
from veilmark.web.api.engine import Engine
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import Scrub, scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.comparison import comparison
from veilmark.web.work.gallery import Gallery

_MOST_PUBLIC = 20
_COMPANIONS = (RECEIPT_SUFFIX, SIDECAR_SUFFIX)


def verifier(settings: Settings, engine: Engine) -> Runner:
    """The runner of verifying jobs. Nothing is fetched from the network, and no key is loaded.

    Who may not see the whole ledger is told of its public records alone.
    """
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        gallery, everything = Gallery(job), bool(job.options.get("everything"))
        verdicts: list[Verdict] = []
        pictures: list[dict[str, bytes]] = []
        cards: list[dict[str, Any]] = []
        receipts: list[str] = []
        paths = subjects(job.files())
        lookup = engine.lookup if everything else None
        own_log = lookup.ledger.origin if lookup else ""
        for number, path in enumerate(paths):
            job.tell(number / len(paths), f"Verifying {path.name}")
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
            card["receipt"] = _receipt(job, number, verdict, engine)
            receipts += [card["receipt"]] if card["receipt"] else []
            cards.append(card)
            verdicts.append(verdict)
            pictures.append(seen)
        report = verdict_page(verdicts, pictures, own_log)
        (job.outbox / "report.html").write_text(report, encoding="utf-8")
        lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in verdicts)
        (job.outbox / "report.jsonl").write_text("".join(lines), encoding="utf-8")
        files = ["report.html", "report.jsonl", *receipts, *gallery.names]
        return {"files": files, "shown": gallery.names, "cards": cards}

    return run


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


def subjects(files: list[Path]) -> list[Path]:
    """What is verified; a receipt or side-car that was sent along with its file belongs to that."""
    names = {one.name for one in files}
    companions = {f"{name}{suffix}" for name in names for suffix in _COMPANIONS}
    return [one for one in files if one.name not in companions] or files


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


def _receipt(job: Job, number: int, verdict: Verdict, engine: Engine) -> str:
    """The name under which the receipt of the own ledger can be fetched, where this very file is recorded."""
    own = [one for one in verdict.similar if one.match is MatchKind.FILE]
    if not own:
        return ""
    name = f"{number + 1}-{verdict.path}{RECEIPT_SUFFIX}"
    data = best_receipt(engine.settings.home, engine.ledger, own[0].index).to_bytes()
    (job.outbox / name).write_bytes(data)
    return name
