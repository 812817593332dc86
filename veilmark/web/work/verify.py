"""The verifying job: each file's verdict, as a card that a page shows and as a report to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX
from provenance.pages.thumbnails import pictures_of
from provenance.pages.verdict import verdict_card, verdict_page
from provenance.search.lookup import open_lookup
from provenance.trust.store import TrustStore
from provenance.verdict import State, Verdict
from provenance.verify import verify_file
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import scrubbed, scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.gallery import Gallery

_COMPANIONS = (RECEIPT_SUFFIX, SIDECAR_SUFFIX)


def verifier(settings: Settings) -> Runner:
    """The runner of verifying jobs. Nothing is fetched from the network, and no key is loaded."""
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        trust = TrustStore.load(settings.home)
        verdicts: list[Verdict] = []
        pictures: list[dict[str, bytes]] = []
        paths = subjects(job.files())
        with open_lookup(settings.home) as lookup:
            own_log = lookup.ledger.origin if lookup else ""
            for number, path in enumerate(paths):
                job.tell(number / len(paths), f"Verifying {path.name}")
                try:
                    verdict = verify_file(path, trust, lookup=lookup)
                except VeilmarkError as error:
                    verdict = Verdict(path.name, State.NOT_CHECKED, scrub(str(error)))
                verdict.path = path.name
                verdicts.append(verdict)
                pictures.append(pictures_of(path, verdict))
        gallery = Gallery(job)
        cards = [
            scrubbed(
                verdict_card(one, seen, own_log, show=gallery.add, record_link="/ledger/{}".format), scrub
            )
            for one, seen in zip(verdicts, pictures, strict=True)
        ]
        report = verdict_page(verdicts, pictures, own_log)
        (job.outbox / "report.html").write_text(scrub(report), encoding="utf-8")
        said = [scrubbed(one.to_json(), scrub) for one in verdicts]
        lines = "".join(json.dumps(one, ensure_ascii=False, default=str) + "\n" for one in said)
        (job.outbox / "report.jsonl").write_text(lines, encoding="utf-8")
        return {
            "files": ["report.html", "report.jsonl", *gallery.names],
            "shown": gallery.names,
            "cards": cards,
        }

    return run


def subjects(files: list[Path]) -> list[Path]:
    """What is verified; a receipt or side-car that was sent along with its file belongs to that."""
    names = {one.name for one in files}
    return [
        one
        for one in files
        if not any(
            one.name.endswith(suffix) and one.name.removesuffix(suffix) in names for suffix in _COMPANIONS
        )
    ] or files
