"""A page from a template, with what every page shows: who is logged in, and where one can go."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from provenance.pages.rendering import render
from veilmark.web.services import services, visitor
from veilmark.web.settings import Role

#: Address, name, and who may go there.
PLACES = (
    ("/verify", "Verify", Role.PUBLIC),
    ("/sign", "Sign", Role.SIGNER),
    ("/cloak", "Cloak", Role.SIGNER),
    ("/ledger", "Ledger", Role.PUBLIC),
    ("/results", "Results", Role.SIGNER),
    ("/trust", "Trust", Role.PUBLIC),
)


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page of ``veilmark/web/templates``; every value is escaped."""
    return HTMLResponse(text_of(request, template, **values), status, headers)


def text_of(request: Request, template: str, **values: Any) -> str:
    """The same as text: a whole page, or a part of one."""
    who = visitor(request)
    path = values.pop("here", "") or request.url.path
    return render(
        template,
        package="veilmark.web",
        places=[
            {"href": href, "name": name, "here": path == href or path.startswith(f"{href}/")}
            for href, name, role in PLACES
            if who.may(role)
        ],
        visitor=who,
        studio=services(request).settings.studio,
        csrf=who.csrf,
        **values,
    )
