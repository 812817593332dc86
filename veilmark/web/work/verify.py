"""The verifying job: each file's verdict, as a card that a page shows and as a report to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX
from provenance.pages.verdict import verdict_page
from veilmark.web.api.engine import Engine
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.card import Carded, unlooked

_COMPANIONS = (RECEIPT_SUFFIX, SIDECAR_SUFFIX)


def verifier(settings: Settings, engine: Engine) -> Runner:
    """The runner of verifying jobs. Nothing is fetched from the network, and no key is loaded.

    Who may not see the whole ledger is told of its public records alone.
    """
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        everything = bool(job.options.get("everything"))
        paths = subjects(job.files())
        made: list[Carded] = []
        for number, path in enumerate(paths):
            job.tell(number / len(paths), f"Verifying {path.name}")
            task = (path, job.outbox, job.files_address, number, everything)
            try:
                made.append(engine.workers.run("card", *task, waiting=job.tell))
            except VeilmarkError as error:
                made.append(unlooked(path, error, scrub))
        verdicts, own_log = (
            [one.verdict for one in made],
            next((one.own_log for one in made if one.own_log), ""),
        )
        report = verdict_page(verdicts, [one.seen for one in made], own_log)
        (job.outbox / "report.html").write_text(report, encoding="utf-8")
        lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in verdicts)
        (job.outbox / "report.jsonl").write_text("".join(lines), encoding="utf-8")
        receipts = [one.receipt for one in made if one.receipt]
        pictures = [name for one in made for name in one.pictures]
        files = ["report.html", "report.jsonl", *receipts, *pictures]
        return {"files": files, "shown": pictures, "cards": [one.card for one in made]}

    return run


def subjects(files: list[Path]) -> list[Path]:
    """What is verified; a receipt or side-car that was sent along with its file belongs to that."""
    names = {one.name for one in files}
    companions = {f"{name}{suffix}" for name in names for suffix in _COMPANIONS}
    return [one for one in files if one.name not in companions] or files
