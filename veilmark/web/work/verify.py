"""The verifying job: each file's verdict, as a card that a page shows and as a report to keep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX
from provenance.pages.thumbnails import pictures_of
from provenance.pages.verdict import verdict_card, verdict_page
from provenance.search.lookup import Lookup, open_lookup
from provenance.trust.store import TrustStore
from provenance.verdict import State, Verdict
from provenance.verify import verify_file
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import Scrub, scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.comparison import comparison
from veilmark.web.work.gallery import Gallery

_COMPANIONS = (RECEIPT_SUFFIX, SIDECAR_SUFFIX)


def verifier(settings: Settings) -> Runner:
    """The runner of verifying jobs. Nothing is fetched from the network, and no key is loaded."""
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        trust, gallery = TrustStore.load(settings.home), Gallery(job)
        verdicts: list[Verdict] = []
        pictures: list[dict[str, bytes]] = []
        cards: list[dict[str, Any]] = []
        receipts: list[str] = []
        paths = subjects(job.files())
        with open_lookup(settings.home) as lookup:
            own_log = lookup.ledger.origin if lookup else ""
            for number, path in enumerate(paths):
                job.tell(number / len(paths), f"Verifying {path.name}")
                verdict = _verdict(path, trust, lookup, scrub)
                seen = pictures_of(path, verdict)
                card = verdict_card(verdict, seen, own_log, show=gallery.add, record_link="/ledger/{}".format)
                if verdict.state is State.NO_CREDENTIAL and any(not one.exact for one in verdict.similar):
                    card["tone"], card["word"] = "like", "Found by likeness"
                card["compare"] = comparison(path, verdict, lookup, gallery) if lookup else None
                card["receipt"] = _receipt(job, number, verdict, lookup)
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


def _receipt(job: Job, number: int, verdict: Verdict, lookup: Lookup | None) -> str:
    """The name under which the receipt of the own ledger can be fetched, where this very file is recorded."""
    own = [one for one in verdict.similar if one.match == "file"]
    if lookup is None or not own:
        return ""
    name = f"{number + 1}-{verdict.path}{RECEIPT_SUFFIX}"
    (job.outbox / name).write_bytes(lookup.ledger.receipt(own[0].index).to_bytes())
    return name
