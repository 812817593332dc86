"""What holds for every request, before any route sees it, and for every answer.

1. The header ``Host`` names this service (against DNS rebinding).
2. Who asks: an access token in ``Authorization``, else the session's cookie. Under ``/v1`` cookies count for nothing,
   so that no page of somebody else's can act there in a visitor's name.
3. How often they asked.
4. A request that changes something comes from an own page, as far as the browser tells (``Sec-Fetch-Site``,
   ``Origin``); its form must carry the session's token besides (:mod:`veilmark.web.uploads`).
5. The answer forbids scripts, styles, frames and forms from elsewhere, and tells nobody where the visitor came from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from veilmark.web.access import SESSION_SECONDS, Visitor
from veilmark.web.rates import network_of
from veilmark.web.services import Services

API = "/v1"
#: What programs ask outside of it: the published log, the witness, health and figures.
_PROGRAMS = ("/checkpoint", "/add-checkpoint", "/healthz", "/metrics", "/tile/")
OnError = Callable[[Request, Exception], Awaitable[Response]]
_SAFE = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Pure ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, services: Services, on_error: OnError) -> None:
        self._app, self._services, self._on_error = app, services, on_error
        self._settings = services.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no websockets here
        headers = Headers(scope=scope)
        visitor = self._visitor(scope, headers)
        scope.setdefault("state", {})["visitor"] = visitor
        sending = self._guarded(scope, send, visitor)
        refusal = self._refusal(scope, headers, visitor)
        if refusal is not None:
            await refusal(scope, receive, sending)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await sending(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if begun:
                raise
            answer = await self._on_error(Request(scope, receive), error)
            await answer(scope, receive, sending)

    def _visitor(self, scope: Scope, headers: Headers) -> Visitor:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        access = self._services.access
        if scheme.lower() == "bearer" and bearer:
            return access.visitor("", bearer.strip())
        if scope["path"].startswith(f"{API}/"):
            return access.visitor("")
        return access.visitor(HTTPConnection(scope).cookies.get(access.cookie_name, ""))

    def _refusal(self, scope: Scope, headers: Headers, visitor: Visitor) -> PlainTextResponse | None:
        if headers.get("host", "").lower() not in self._settings.hosts:
            return PlainTextResponse("this service does not go by that name\n", 421)
        if visitor.bearer and visitor.role is None:
            return PlainTextResponse("no such access token\n", 401, {"WWW-Authenticate": "Bearer"})
        address = network_of((scope.get("client") or ("", 0))[0])
        if seconds := self._services.requests.wait(address):
            return PlainTextResponse("too many requests\n", 429, {"Retry-After": str(seconds)})
        if scope["method"] in _SAFE or visitor.bearer or scope["path"].startswith(f"{API}/"):
            return None
        site = headers.get("sec-fetch-site", "same-origin")
        origin = headers.get("origin", "")
        foreign = bool(origin) and urlsplit(origin).netloc.lower() not in self._settings.hosts
        if site not in ("same-origin", "none") or foreign:
            return PlainTextResponse("this form is not on a page of this service\n", 403)
        return None

    def _guarded(self, scope: Scope, send: Send, visitor: Visitor) -> Send:
        shows_page = not scope["path"].startswith((f"{API}/", "/static/"))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if self._settings.secure:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
                is_page = headers.get("content-type", "").startswith("text/html")
                if visitor.fresh and shows_page and is_page and "set-cookie" not in headers:
                    headers.append("Set-Cookie", session_cookie(self._services, visitor.session))
            await send(message)

        return sending


def session_cookie(services: Services, value: str) -> str:
    """The header that sets the session's cookie; an empty value removes it."""
    secure = "; Secure" if services.settings.secure else ""
    age = SESSION_SECONDS if value else 0
    name = services.access.cookie_name
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}"


def is_for_programs(path: str) -> bool:
    """Whether a program asks here, and not a person: errors are JSON there."""
    return path.startswith((f"{API}/", *_PROGRAMS))
