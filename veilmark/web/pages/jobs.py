"""A job's page: how far it is, what came out of it, its files; server-sent events, and a page that reloads without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from veilmark.web.job import Job, JobState
from veilmark.web.services import services, visitor
from veilmark.web.uploads import Form, admit_upload, receive_form
from veilmark.web.view import page

_EVERY_SECONDS, _QUICK_SECONDS = 0.25, 1.5
_TEMPLATES = {"preview": "faces"}
#: Where the pages of a job belong, if its kind is not the place's name.
_PLACES = {
    "look": "/sign",
    "v1-sign": "/sign",
    "faces": "/cloak",
    "preview": "/cloak",
    "trust-look": "/trust",
    "trust-add": "/trust",
    "audit": "/ledger",
}
_SHOWN_INLINE = {".jpg": "image/jpeg", ".png": "image/png"}

#: Reads a form into options of a job, or refuses it.
Planner = Callable[[Form], dict[str, object]]


async def start_job(
    request: Request, kind: str, plan: Planner = lambda _: {}, *, most: int | None = None
) -> Response:
    """Receive an upload into a new job, acknowledge it, and go to its page.

    Args:
        most: how many files; default what the limits say.

    Raises:
        HTTPException, Busy: there is no place for it, or the upload is refused; nothing is left of it then.
    """
    admit_upload(request)
    jobs = services(request).jobs
    with jobs.preparing(kind, visitor(request).owner) as job:
        form = await receive_form(request, job.inbox)
        if not form.files:
            raise HTTPException(400, "no file was chosen")
        if most is not None and len(form.files) > most:
            raise HTTPException(400, f"choose no more than {most} here")
        job.options = {"files": [one.name for one in form.files], **plan(form)}
        await asyncio.to_thread(jobs.submit, job)
    return await answer_with_job(job)


async def answer_with_job(job: Job) -> Response:
    """Wait a moment, then go to the page of a job that was submitted."""
    await _ended(job, _QUICK_SECONDS)
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def answer_job(request: Request, kind: str, plan: Planner) -> Response:
    """The owner's answer to what a job asked; it goes on as a job of this kind.

    Raises:
        HTTPException: 404 it is somebody else's; 409 it was answered already.
    """
    job = own_job(request)
    form = await receive_form(request)
    if not await asyncio.to_thread(services(request).jobs.proceed, job, kind, plan(form)):
        raise HTTPException(409, "this was answered already, or has expired")
    return await answer_with_job(job)


def own_job(request: Request) -> Job:
    """The job that the address names; 404 where it is somebody else's."""
    job = services(request).jobs.get(request.path_params["job"], visitor(request).owner)
    if job is None:
        raise HTTPException(404)
    return job


async def show(request: Request) -> Response:
    job = own_job(request)
    result = await asyncio.to_thread(job.result) if job.state is JobState.DONE else {}
    ahead = services(request).jobs.ahead_of(job)
    template = f"{_TEMPLATES.get(job.kind, job.kind)}_done.html" if result else "job.html"
    here = _PLACES.get(job.kind, f"/{job.kind}")
    return page(request, template, here=here, job=job, about=job.to_json(), ahead=ahead, result=result)


async def status(request: Request) -> Response:
    return JSONResponse(own_job(request).to_json())


async def state(request: Request) -> Response:
    """The part of a job's page that says how far it is; the whole page is loaded again when it ended."""
    job = own_job(request)
    headers = {"HX-Refresh": "true"} if job.state.ended else None
    ahead = services(request).jobs.ahead_of(job)
    return page(request, "job_state.html", headers=headers, about=job.to_json(), ahead=ahead)


async def events(request: Request) -> Response:
    """The job's state as server-sent events, until it ends."""
    job, jobs = own_job(request), services(request).jobs

    async def stream() -> AsyncIterator[str]:
        seen, silent = -1, 0.0
        while not (jobs.ending.is_set() or await request.is_disconnected()):
            if job.version != seen:
                seen, silent = job.version, 0.0
                yield f"event: job\nid: {seen}\ndata: {json.dumps(job.to_json())}\n\n"
                if job.state.ended:
                    return
            elif silent > 15:
                silent = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(_EVERY_SECONDS)
            silent += _EVERY_SECONDS

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def cancel(request: Request) -> Response:
    job = own_job(request)
    await receive_form(request)
    await asyncio.to_thread(services(request).jobs.cancel, job)
    await _ended(job, _QUICK_SECONDS)
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def forget(request: Request) -> Response:
    job = own_job(request)
    await receive_form(request)
    await asyncio.to_thread(services(request).jobs.forget, job)
    return RedirectResponse("/jobs", 303)


async def fetch(request: Request) -> Response:
    """A file that a job made. Pictures that we made are shown; everything else is a download."""
    job = own_job(request)
    name = request.path_params["name"]
    result = await asyncio.to_thread(job.result)
    if name not in result.get("files", []):
        raise HTTPException(404)
    path = job.outbox / name
    if not path.is_file():
        raise HTTPException(404)
    if name in result.get("shown", []) and path.suffix in _SHOWN_INLINE:
        return FileResponse(path, media_type=_SHOWN_INLINE[path.suffix])
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'"}
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=headers)


async def listing(request: Request) -> Response:
    return page(request, "jobs.html", jobs=services(request).jobs.of_owner(visitor(request).owner))


async def _ended(job: Job, seconds: float) -> None:
    """Wait a moment: most jobs are done before anybody looks."""
    for _ in range(int(seconds / 0.05)):
        if job.state.ended:
            return
        await asyncio.sleep(0.05)


Endpoint = Callable[[Request], Awaitable[Response]]

ROUTES = [
    Route("/jobs", listing),
    Route("/jobs/{job}", show),
    Route("/jobs/{job}/status", status),
    Route("/jobs/{job}/state", state),
    Route("/jobs/{job}/events", events),
    Route("/jobs/{job}/cancel", cancel, methods=["POST"]),
    Route("/jobs/{job}/forget", forget, methods=["POST"]),
    Route("/jobs/{job}/files/{name}", fetch),
]
