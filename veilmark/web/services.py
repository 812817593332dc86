"""What every route works with: settings, access, jobs. One object for each application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request

from veilmark.web.access import Access, Visitor
from veilmark.web.jobs import JobQueue
from veilmark.web.rates import Rate
from veilmark.web.settings import Role, Settings


@dataclass(frozen=True)
class Services:
    """Made by :func:`veilmark.web.app.create_app`, found by :func:`services`."""

    settings: Settings
    access: Access
    jobs: JobQueue
    requests: Rate
    uploads: Rate
    logins: Rate
    receiving: asyncio.Semaphore
    scrub: Callable[[str], str]


def services(request: Request) -> Services:
    """The application's services."""
    return cast(Services, request.app.state.services)


def visitor(request: Request) -> Visitor:
    """Who asks, as the middleware found out."""
    return cast(Visitor, request.state.visitor)


def require(request: Request, role: Role) -> Visitor:
    """The visitor, if they may do what ``role`` may.

    Raises:
        HTTPException: 401 where they showed nothing that says who they are, else 403.
    """
    one = visitor(request)
    if one.may(role):
        return one
    known = bool(one.name)
    raise HTTPException(
        403 if known else 401, f"this needs the role {role}" + (f", and you are {one.role}" if known else "")
    )
