"""Trust: what is trusted here, and what a file would add to it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provenance.trust.shipped import SHIPPED
from provenance.trust.store import TrustStore
from veilmark.web.pages.jobs import answer_job, start_job
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.uploads import receive_form
from veilmark.web.view import page

_SHIPPED = "c2pa"
#: Kinds of entries, their headings, and what trusting one means.
KINDS = (
    ("anchor", "Signers", "Whoever has a certificate from one of these is called by a confirmed name."),
    ("list", "Published lists", "Certificate authorities that somebody publishes together."),
    ("log", "Logs", "Records in these count as recorded."),
    ("witness", "Witnesses", "Their word counts that a log was seen at a time."),
    ("time-stamp-anchor", "Time stamps", "Their time stamps count as out of the signer's control."),
    ("identity-anchor", "Identities", "They vouch for a person's or an organization's identity."),
    ("contract", "Contracts", "Chains on which a log is anchored."),
    ("revocation", "Revocations", "Keys that are not trusted any more."),
)


async def show(request: Request) -> Response:
    may = require(request, Role.PUBLIC).may(Role.KEEPER)
    home = services(request).settings.home
    entries = await asyncio.to_thread(lambda: TrustStore.load(home).entries())
    groups = [
        (title, about, [one for one in entries if one.kind == kind])
        for kind, title, about in KINDS
        if any(one.kind == kind for one in entries)
    ]
    lists = {one.name for one in entries if one.kind == "list"}
    shipped = not any(one.name in lists for one in SHIPPED[_SHIPPED])
    return page(request, "trust.html", groups=groups, may=may, shipped=shipped)


async def look(request: Request) -> Response:
    """See what a file would add, before anything is trusted."""
    require(request, Role.KEEPER)
    return await start_job(request, "trust-look", most=1)


async def add(request: Request) -> Response:
    require(request, Role.KEEPER)
    return await answer_job(request, "trust-add", lambda form: {"name": form.text("name").strip()[:80]})


async def add_shipped(request: Request) -> Response:
    require(request, Role.KEEPER)
    await receive_form(request)
    home = services(request).settings.home

    def work() -> None:
        store = TrustStore.load(home)
        for one in SHIPPED[_SHIPPED]:
            store.add_list(one.text(), one.name, purpose=one.purpose, url=one.url)

    await asyncio.to_thread(work)
    return RedirectResponse("/trust", 303)


async def remove(request: Request) -> Response:
    require(request, Role.KEEPER)
    form = await receive_form(request)
    home = services(request).settings.home
    await asyncio.to_thread(lambda: TrustStore.load(home).remove(form.text("name"), form.text("kind")))
    return RedirectResponse("/trust", 303)


ROUTES = [
    Route("/trust", show),
    Route("/trust", look, methods=["POST"]),
    Route("/trust/shipped", add_shipped, methods=["POST"]),
    Route("/trust/remove", remove, methods=["POST"]),
    Route("/trust/{job}/add", add, methods=["POST"]),
]
