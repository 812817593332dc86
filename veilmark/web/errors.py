"""What a visitor is told when something goes wrong: a page, or JSON under ``/v1``; never a path or a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import ExitCode, MediaError, NotInitializedError, VeilmarkError
from veilmark.web.jobs import Busy
from veilmark.web.security import is_for_programs
from veilmark.web.view import page

_log = logging.getLogger("veilmark.web")
_WORDS = {
    400: "That could not be read",
    401: "Please log in",
    403: "Not allowed",
    404: "There is nothing here",
    405: "Not possible here",
    408: "Too slow",
    409: "Not any more",
    413: "Too large",
    415: "Not a form",
    422: "That could not be checked",
    429: "Too often",
    503: "Busy",
}


def _answer(
    request: Request,
    status: int,
    message: str,
    hint: str = "",
    headers: dict[str, str] | None = None,
    *,
    kind: str = "",
    exit_code: int = ExitCode.UNREADABLE,
) -> Response:
    if is_for_programs(request.url.path):
        said = {"path": request.url.path, "error": kind, "message": message, "hint": hint}
        return JSONResponse(
            {"schema": "veilmark.error/1", **said, "exit_code": int(exit_code)}, status, headers
        )
    word = _WORDS.get(status, "Something went wrong")
    return page(request, "error.html", status=status, headers=headers, word=word, message=message, hint=hint)


async def on_http(request: Request, error: Exception) -> Response:
    assert_type = error if isinstance(error, HTTPException) else HTTPException(500)
    headers = dict(assert_type.headers or {})
    if assert_type.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    detail = {404: "this page does not exist, or is not yours", 405: "this cannot be done here"}
    code = assert_type.status_code
    plain = assert_type.detail == HTTPException(code).detail
    message = detail.get(code, assert_type.detail) if plain else assert_type.detail
    return _answer(request, code, message, headers=headers, kind="HTTPException")


async def on_busy(request: Request, error: Exception) -> Response:
    seconds = error.seconds if isinstance(error, Busy) else 5
    return _answer(request, 503, str(error), headers={"Retry-After": str(seconds)}, kind="Busy")


def on_expected(scrub: Callable[[str], str]) -> Callable[[Request, Exception], Response]:
    """Errors that are raised on purpose, in their own words without paths."""

    def answer(request: Request, error: Exception) -> Response:
        hint = error.hint if isinstance(error, VeilmarkError) else ""
        code = error.exit_code if isinstance(error, VeilmarkError) else ExitCode.UNREADABLE
        kind = type(error).__name__
        return _answer(request, status_of(error), scrub(str(error)), scrub(hint), kind=kind, exit_code=code)

    return answer


def status_of(error: Exception) -> int:
    """The HTTP status that says what an expected error says."""
    if isinstance(error, NotInitializedError):
        return 409
    if isinstance(error, MediaError):
        return 422
    code = error.exit_code if isinstance(error, VeilmarkError) else ExitCode.UNREADABLE
    return {ExitCode.USAGE: 400, ExitCode.NOT_FOUND: 404, ExitCode.NO_CONSENT: 409}.get(code, 422)


async def on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected %s", type(error).__name__, exc_info=error)
    return _answer(request, 500, "something went wrong here; it was written down")
