"""The pages for people; one module for each place that one can go to."""

from __future__ import annotations

from starlette.routing import BaseRoute

from veilmark.web.pages import cloak, front, jobs, ledger, results, sign, trust, verify
from veilmark.web.settings import Settings


def routes(settings: Settings) -> list[BaseRoute]:
    """Every page's routes."""
    places = (front, jobs, verify, sign, cloak, ledger, results, trust)
    return [route for place in places for route in place.ROUTES]
