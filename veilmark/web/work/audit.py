"""The auditing job: the whole log recomputed."""

from __future__ import annotations

from typing import Any

from provenance.ledger.audit import audit
from veilmark.web.api.engine import Engine
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import scrubber


def auditor(engine: Engine) -> Runner:
    """The runner of audits: entries, tree, signatures of records, checkpoints."""
    scrub = scrubber(engine.settings)

    def run(job: Job) -> dict[str, Any]:
        job.tell(words="Recomputing the log")
        found = audit(engine.ledger, signatures=True, progress=job.tell)
        return {
            "files": [],
            "entries": found.entries,
            "origin": found.checkpoint.origin,
            "root": found.checkpoint.root.hex(),
            "problems": [scrub(one.words) for one in found.problems],
        }

    return run
