"""Sign: drop files, see what will be published, sign."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provenance.errors import UsageError
from provenance.setup import initialize
from veilmark.web.pages.jobs import answer_job, start_job
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.uploads import Form, receive_form
from veilmark.web.view import page
from veilmark.web.work.sign import signer_name

_MAX_TEXT = 4000


async def show(request: Request) -> Response:
    who = require(request, Role.SIGNER)
    settings = services(request).settings
    name = await asyncio.to_thread(signer_name, settings)
    if not name:
        return page(request, "setup.html", may=who.may(Role.KEEPER))
    return page(request, "sign.html", signer=name, limits=settings.limits)


async def set_up(request: Request) -> Response:
    """Make identity and ledger, once, as `veilmark init` does."""
    require(request, Role.KEEPER)
    form = await receive_form(request)
    have = services(request).settings
    name = form.text("name").strip()
    if await asyncio.to_thread(signer_name, have):
        raise UsageError("there is an identity already")
    await asyncio.to_thread(
        lambda: initialize(have.home, subject=name, algorithm="es256", passphrase=have.passphrase)
    )
    return RedirectResponse("/sign", 303)


async def start(request: Request) -> Response:
    require(request, Role.SIGNER)
    return await start_job(request, "look")


async def sign(request: Request) -> Response:
    require(request, Role.SIGNER)
    return await answer_job(request, "sign", _options)


def _options(form: Form) -> dict[str, object]:
    texts = {name: form.text(name).strip() for name in ("title", "author", "description")}
    for name, text in texts.items():
        if len(text) > _MAX_TEXT:
            raise HTTPException(413, f"{name} is over {_MAX_TEXT} characters")
    switches = ("remove_location", "device", "allow_training", "thumbnail")
    return {**texts, **{name: form.text(name) == "yes" for name in switches}}


ROUTES = [
    Route("/sign", show),
    Route("/sign", start, methods=["POST"]),
    Route("/sign/setup", set_up, methods=["POST"]),
    Route("/sign/{job}", sign, methods=["POST"]),
]
