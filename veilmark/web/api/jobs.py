"""Jobs of a program that showed its access token: how far, what came of them, their files."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veilmark.web.job import JobState
from veilmark.web.pages import jobs as pages
from veilmark.web.services import require, services
from veilmark.web.settings import Role


async def one(request: Request) -> Response:
    """``GET /v1/jobs/{job}``"""
    require(request, Role.SIGNER)
    job = pages.own_job(request)
    result = await asyncio.to_thread(job.result) if job.state is JobState.DONE else {}
    about = {"files": result.get("files", []), "signed": result.get("signed")}
    return JSONResponse({**job.to_json(), **about})


async def events(request: Request) -> Response:
    """``GET /v1/jobs/{job}/events``: server-sent events until it ends."""
    require(request, Role.SIGNER)
    return await pages.events(request)


async def fetch(request: Request) -> Response:
    """``GET /v1/jobs/{job}/files/{name}``"""
    require(request, Role.SIGNER)
    return await pages.fetch(request)


async def remove(request: Request) -> Response:
    """``DELETE /v1/jobs/{job}``: stop it, or remove what came of it."""
    require(request, Role.SIGNER)
    job, jobs = pages.own_job(request), services(request).jobs
    await asyncio.to_thread(jobs.forget if job.state.ended else jobs.cancel, job)
    return Response(status_code=204)
