"""The pages for people; one module for each place that one can go to."""

from __future__ import annotations

from starlette.routing import BaseRoute

from veilmark.web.pages import front, jobs, sign, verify
from veilmark.web.settings import Settings


def routes(settings: Settings) -> list[BaseRoute]:
    """Every page's routes."""
    return [*front.ROUTES, *jobs.ROUTES, *verify.ROUTES, *sign.ROUTES]
