"""Cloaking in three steps, each in a process of its own: which faces there are, how a cloak of one looks, the cloak."""

from __future__ import annotations

from typing import Any

from provenance.errors import UsageError
from provenance.sign import check_source
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.settings import Settings
from veilmark.web.work.process import run_task

STRENGTHS = {
    "low": "Hardly to be seen; holds least",
    "mid": "To be seen when one looks for it",
    "high": "To be seen; holds best",
}
VEILS = {
    "film": "Film grain",
    "film-bw": "Black-and-white film",
    "light": "Light and shadow",
    "noise": "Plain noise",
}


def cloaker(settings: Settings, work: str) -> Runner:
    """The runner of one step: ``faces``, ``preview`` or ``cloak``."""

    def run(job: Job) -> dict[str, Any]:
        files = job.files()
        if len(files) != 1:
            raise UsageError("one picture or film is cloaked at a time", hint="choose one file")
        task = {
            "work": work,
            "source": str(files[0]),
            "outbox": str(job.outbox),
            "address": job.files_address,
            "options": job.options,
            "previous": job.result() if work == "preview" else {},
            "data": str(settings.home.data),
            "config": str(settings.home.config),
            "identity": settings.identity,
            "passphrase": settings.passphrase if work == "cloak" and job.options.get("sign") else None,
        }
        film = check_source(files[0]).kind == "video"
        limits = settings.limits
        return run_task(job, task, limits.film_seconds if film else limits.job_seconds)

    return run
