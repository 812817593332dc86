"""The way in: the front page, the studio's one-time link, logging in and out."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from veilmark.web.rates import network_of
from veilmark.web.security import session_cookie
from veilmark.web.services import services, visitor
from veilmark.web.uploads import receive_form
from veilmark.web.view import page


async def front(request: Request) -> Response:
    who = visitor(request)
    if who.role is None:
        return page(request, "enter.html", status=401)
    return page(request, "front.html")


async def enter(request: Request) -> Response:
    """Exchange the studio's one-time word for a cookie, and go on to an address without it."""
    have = services(request)
    _limit_logins(request)
    who = have.access.redeem(request.query_params.get("once", "")[:200])
    if who is None:
        return page(request, "enter.html", status=401)
    return _to_front(request, who.session)


async def show_login(request: Request) -> Response:
    return page(request, "login.html", failed=False)


async def log_in(request: Request) -> Response:
    form = await receive_form(request)
    _limit_logins(request)
    who = services(request).access.log_in(form.text("token").strip())
    if who is None:
        return page(request, "login.html", status=401, failed=True)
    return _to_front(request, who.session)


async def log_out(request: Request) -> Response:
    await receive_form(request)
    services(request).access.log_out(visitor(request))
    return _to_front(request, "")


def _to_front(request: Request, session: str) -> Response:
    answer = RedirectResponse("/", 303)
    answer.headers["Set-Cookie"] = session_cookie(services(request), session)
    return answer


def _limit_logins(request: Request) -> None:
    address = network_of(request.client.host if request.client else "")
    if seconds := services(request).logins.wait(address):
        raise HTTPException(429, "too many attempts; try again later", {"Retry-After": str(seconds)})


ROUTES = [
    Route("/", front),
    Route("/enter", enter),
    Route("/login", show_login),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
]
