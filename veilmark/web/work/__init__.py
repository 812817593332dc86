"""What jobs do: each runner calls one public use case and says what a page shows of its result.

A runner gets a :class:`~veilmark.web.job.Job`, reads ``job.files()``, writes into ``job.outbox``, and returns JSON:
``files`` are the names in ``outbox`` that may be fetched, ``shown`` those of them that are pictures made here.
"""

from __future__ import annotations

from veilmark.web.api.engine import Engine
from veilmark.web.jobs import Kind
from veilmark.web.settings import Settings
from veilmark.web.work import trust
from veilmark.web.work.audit import auditor
from veilmark.web.work.cloak import cloaker
from veilmark.web.work.sign import looker, signer
from veilmark.web.work.verify import verifier


def kinds(settings: Settings, engine: Engine) -> dict[str, Kind]:
    """Every kind of job by its name."""
    return {
        "verify": Kind(verifier(settings, engine)),
        "look": Kind(looker(settings), asks=True),
        "sign": Kind(signer(settings)),
        "faces": Kind(cloaker(settings, "faces"), long=True, asks=True),
        "preview": Kind(cloaker(settings, "preview"), long=True, asks=True),
        "trust-look": Kind(trust.looker(settings), asks=True),
        "trust-add": Kind(trust.adder(settings)),
        "audit": Kind(auditor(engine)),
        "cloak": Kind(cloaker(settings, "cloak"), long=True),
    }
