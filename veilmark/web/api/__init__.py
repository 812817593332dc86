"""The interface for programs, under ``/v1``."""

from __future__ import annotations

from starlette.routing import BaseRoute

from veilmark.web.settings import Settings


def routes(settings: Settings) -> list[BaseRoute]:
    """What :func:`veilmark.web.app.create_app` adds to the pages: absolute paths, such as ``/v1/...``."""
    return []
