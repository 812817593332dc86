"""Cloak: drop a picture, choose faces and look, see how one would come out, cloak."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from veilmark.web.pages.jobs import answer_job, start_job
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.uploads import Form
from veilmark.web.view import page
from veilmark.web.work.cloak import STRENGTHS, VEILS
from veilmark.web.work.sign import signer_name

_MOST_FACES = 1000
#: To what a picture can be made smaller first: pixels of its longer side.
SIZES = ("1080", "640")


async def show(request: Request) -> Response:
    require(request, Role.SIGNER)
    settings = services(request).settings
    signer = await asyncio.to_thread(signer_name, settings)
    return page(request, "cloak.html", signer=signer, limits=settings.limits, sizes=SIZES)


async def start(request: Request) -> Response:
    require(request, Role.SIGNER)
    return await start_job(request, "faces", _first_options, most=1)


def _first_options(form: Form) -> dict[str, object]:
    size = form.text("longest")
    if size not in ("", *SIZES):
        raise HTTPException(400, "there is no such size")
    return {"strength": "mid", "veil": "film", "longest": int(size) if size else None}


async def go_on(request: Request) -> Response:
    """The answer: preview one face, or cloak."""
    require(request, Role.SIGNER)
    kind = "preview" if request.path_params["step"] == "preview" else "cloak"
    return await answer_job(request, kind, _options)


def _options(form: Form) -> dict[str, object]:
    strength, veil = form.text("strength", "mid"), form.text("veil", "film")
    if strength not in STRENGTHS or veil not in VEILS:
        raise HTTPException(400, "there is no such strength or veil")
    numbers = form.texts("face")
    if not all(one.isdecimal() and len(one) < 4 for one in numbers) or len(numbers) > _MOST_FACES:
        raise HTTPException(400, "there is no such face")
    if form.text("chooses") and not numbers:
        raise HTTPException(400, "no face was chosen")
    return {
        "strength": strength,
        "veil": veil,
        "fast": form.text("search") == "quick",
        "faces": sorted({int(one) for one in numbers}) or None,
        "keep_gps": form.text("keep_gps") == "yes",
        "sign": form.text("sign") == "yes",
    }


ROUTES = [
    Route("/cloak", show),
    Route("/cloak", start, methods=["POST"]),
    Route("/cloak/{job}/{step}", go_on, methods=["POST"]),
]
