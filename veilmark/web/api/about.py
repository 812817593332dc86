"""What the service says of itself: health, figures, and the description of its interface."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import UsageError
from provenance.ledger.embedded import discoverable
from provenance.schemas import schema_text
from provenance.version import VERSION
from veilmark.web.api.engine import Engine
from veilmark.web.api.metrics import MEDIA_TYPE
from veilmark.web.services import require, services, visitor
from veilmark.web.settings import Role


def description() -> bytes:
    """The OpenAPI description, as it is checked in."""
    return files(__package__).joinpath("openapi.json").read_bytes()


class About:
    """Routes about the service."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def health(self, request: Request) -> Response:
        """``GET /healthz``: 200 while the log can be read and extended, else 503."""
        fault = await asyncio.to_thread(self._fault)
        return JSONResponse(
            {"status": "failing" if fault else "ok", "version": VERSION}, 503 if fault else 200
        )

    async def figures(self, request: Request) -> Response:
        """``GET /metrics``: for a keeper, or a program on this machine where no proxy stands before it."""
        if not (visitor(request).may(Role.KEEPER) or self._is_here(request)):
            raise HTTPException(403, "this needs the role keeper, or to be asked on the machine itself")
        text = await asyncio.to_thread(self._figures, services(request).jobs.counts())
        return Response(text, headers={"Content-Type": MEDIA_TYPE})

    async def openapi(self, request: Request) -> Response:
        """``GET /v1/openapi.json``"""
        require(request, Role.PUBLIC)
        return Response(description(), media_type="application/json")

    async def schema(self, request: Request) -> Response:
        """``GET /v1/schemas/{name}.json``: of the objects that the command prints, too."""
        require(request, Role.PUBLIC)
        try:
            text = schema_text(request.path_params["name"])
        except UsageError:
            raise HTTPException(404) from None
        return Response(text, media_type="application/schema+json")

    def _fault(self) -> bool:
        if not self._engine.settings.home.has_ledger():
            return False  # nothing to serve is no fault: verifying needs no ledger
        try:
            self._engine.ledger.require_no_fork()
            return self._engine.ledger.size < 0
        except Exception:
            return True

    def _figures(self, jobs: dict[str, int]) -> bytes:
        entries = public = 0
        if self._engine.settings.home.has_ledger():
            entries = self._engine.ledger.size
            with self._engine.ledger.reading() as connection:
                public = discoverable.count(connection)
        return self._engine.metrics.text(entries=entries, public=public, jobs=jobs)

    def _is_here(self, request: Request) -> bool:
        settings = self._engine.settings
        if settings.proxies or settings.studio or not request.client:
            return False
        try:
            return ip_address(request.client.host).is_loopback
        except ValueError:
            return False
