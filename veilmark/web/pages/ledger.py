"""The ledger: records, one record with its proof, the state of the log."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from typing import Any, cast
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provenance.resolve.receipts import best_receipt
from provenance.search.titles import describe_entry
from veilmark.web import ledger_view
from veilmark.web.api.engine import Engine
from veilmark.web.ledger_view import Question
from veilmark.web.pages.jobs import answer_with_job
from veilmark.web.services import require, services, visitor
from veilmark.web.settings import Role
from veilmark.web.uploads import receive_form
from veilmark.web.view import page

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_SIDE = 480


def engine(request: Request) -> Engine:
    """The application's ledger and what is looked up in it."""
    return cast(Engine, request.app.state.engine)


async def listing(request: Request) -> Response:
    everything = require(request, Role.PUBLIC).may(Role.SIGNER)
    have, ask = engine(request), request.query_params
    text = ask.get("q", "").strip()[:200]
    question = Question(
        text, *(ask.get(name, "") if _DAY.fullmatch(ask.get(name, "")) else "" for name in ("since", "until"))
    )
    before = int(ask["before"]) if re.fullmatch(r"\d{1,18}", ask.get("before", "")) else None
    empty = not have.settings.home.has_ledger()
    hidden = not everything and not have.settings.discoverable
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return RedirectResponse(f"/ledger/{int(text)}", 303)
    if empty or hidden:
        rows, more = [], None
    elif _HASH.fullmatch(text):
        rows, more = await asyncio.to_thread(ledger_view.by_sha256, have, text, everything), None
    else:
        rows, more = await asyncio.to_thread(ledger_view.listed, have, question, before, everything)
    asked = {name: value for name, value in asdict(question).items() if value}
    if "text" in asked:
        asked["q"] = asked.pop("text")
    further = urlencode({**asked, "before": more}) if more is not None else ""
    return page(
        request,
        "ledger.html",
        rows=rows,
        question=question,
        further=further,
        empty=empty,
        hidden=hidden,
        everything=everything,
    )


async def record(request: Request) -> Response:
    everything = require(request, Role.PUBLIC).may(Role.SIGNER)

    def read() -> dict[str, Any]:
        return ledger_view.about(
            engine(request), ledger_view.entry_of(engine(request), _index(request), everything)
        )

    return page(request, "record.html", everything=everything, **await asyncio.to_thread(read))


async def thumbnail(request: Request) -> Response:
    everything = require(request, Role.PUBLIC).may(Role.SIGNER)

    def read() -> bytes:
        entry = ledger_view.entry_of(engine(request), _index(request), everything)
        return describe_entry(entry, engine(request).settings.home, side=_SIDE).thumbnail

    data = await asyncio.to_thread(read)
    if not data:
        raise HTTPException(404)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


async def receipt(request: Request) -> Response:
    everything = require(request, Role.PUBLIC).may(Role.SIGNER)

    def read() -> bytes:
        entry = ledger_view.entry_of(engine(request), _index(request), everything)
        return best_receipt(engine(request).settings.home, engine(request).ledger, entry.index).to_bytes()

    name = f"record-{_index(request)}.receipt"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(await asyncio.to_thread(read), media_type="application/octet-stream", headers=headers)


async def log(request: Request) -> Response:
    require(request, Role.PUBLIC)
    have = engine(request)
    if not have.settings.home.has_ledger():
        return RedirectResponse("/ledger", 303)
    state = await asyncio.to_thread(ledger_view.state, have.ledger)
    return page(request, "log.html", state=state, may_audit=visitor(request).may(Role.SIGNER))


async def audit(request: Request) -> Response:
    """Recompute the whole log, as a job."""
    who = require(request, Role.SIGNER)
    await receive_form(request)
    jobs = services(request).jobs
    with jobs.preparing("audit", who.owner) as job:
        job.options = {"files": []}
        await asyncio.to_thread(jobs.submit, job)
    return await answer_with_job(job)


def _index(request: Request) -> int:
    text = request.path_params["index"]
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise HTTPException(404)
    return int(text)


ROUTES = [
    Route("/ledger", listing),
    Route("/ledger/log", log),
    Route("/ledger/log/audit", audit, methods=["POST"]),
    Route("/ledger/{index}", record),
    Route("/ledger/{index}/thumbnail", thumbnail),
    Route("/ledger/{index}/receipt", receipt),
]
