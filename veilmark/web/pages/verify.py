"""Verify: drop files, get verdicts."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from veilmark.web.pages.jobs import start_job
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.uploads import receive_form
from veilmark.web.view import page


async def show(request: Request) -> Response:
    require(request, Role.PUBLIC)
    return page(request, "verify.html", limits=services(request).settings.limits)


async def start(request: Request) -> Response:
    who = require(request, Role.PUBLIC)
    everything = who.may(Role.SIGNER)  # who is not known here learns nothing of records that are not public
    return await start_job(request, "verify", lambda _: {"everything": everything})


async def by_address(request: Request) -> Response:
    """An address of this service leads to its page; nothing is ever fetched from anywhere."""
    require(request, Role.PUBLIC)
    form = await receive_form(request)
    parts = urlsplit(form.text("address").strip()[:2000])
    if parts.netloc.lower() not in services(request).settings.hosts or not parts.path.startswith("/ledger/"):
        raise HTTPException(400, "this is no address of a record of this service")
    return RedirectResponse(parts.path, 303)


ROUTES = [
    Route("/verify", show),
    Route("/verify", start, methods=["POST"]),
    Route("/verify/address", by_address, methods=["POST"]),
]
