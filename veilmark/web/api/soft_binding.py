"""The C2PA Soft Binding Resolution API, version 1.0, over the public records.

What each route answers follows the description that the C2PA publishes; what is added to it is in extension objects.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import MediaError, UsageError
from provenance.resolve.answers import supported_algorithms
from provenance.resolve.bindings import PDQ
from provenance.resolve.matches import MAX_ID_CHARS, Match, to_api
from veilmark.web.api.engine import Engine
from veilmark.web.api.queries import max_results, truth
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.uploads import bounded_body
from veilmark.web.workers import TookTooLongError

_MAX_QUERY_CHARS = 2048
_MAX_BODY_BYTES, _BODY_SECONDS = 64 * 1024, 30
_MEDIA = ("image/", "audio/", "video/", "application/")


class SoftBinding:
    """Its five routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def by_binding(self, request: Request) -> Response:
        """``GET /matches/byBinding``"""
        require(request, Role.PUBLIC)
        if len(request.url.query) > _MAX_QUERY_CHARS:
            raise HTTPException(414, "the query is too long: send it with POST")
        alg, value = request.query_params.get("alg"), request.query_params.get("value")
        if alg is None or value is None:
            raise UsageError("alg and value are needed")
        return await self._bound(alg, value, max_results(request))

    async def by_large_binding(self, request: Request) -> Response:
        """``POST /matches/byBinding``"""
        require(request, Role.PUBLIC)
        limit = max_results(request)
        body = b"".join([chunk async for chunk in bounded_body(request, _MAX_BODY_BYTES, _BODY_SECONDS)])
        try:
            asked = json.loads(body)
            alg, value = asked["alg"], asked["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UsageError("the body is not a JSON object with alg and value") from None
        if not isinstance(alg, str) or not isinstance(value, str):
            raise UsageError("alg and value are texts")
        return await self._bound(alg, value, limit)

    async def by_content(self, request: Request) -> Response:
        """``POST /matches/byContent``"""
        require(request, Role.PUBLIC)
        limit, _ = max_results(request), self._engine.public  # 404, where look-ups are not answered
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith(_MEDIA):
            raise HTTPException(415, "send the file itself, as image, audio or video")
        alg = request.query_params.get("alg", PDQ)
        hinted = await asyncio.to_thread(self._hinted, request, limit)

        def work(path: Path) -> list[Match]:
            return list(self._engine.workers.run("match", path, alg, limit))

        try:
            found = await self._engine.bench.with_file(request, work)
        except MediaError as error:
            raise HTTPException(415, services(request).scrub(str(error))) from None
        except TookTooLongError as error:
            raise HTTPException(413, str(error)) from None  # the description has no 422
        known = {match.receipt.index for match in found}
        found += [match for match in hinted if match.receipt.index not in known]
        return JSONResponse(to_api(found[:limit]))

    async def manifest(self, request: Request) -> Response:
        """``GET /manifests/{manifestId}``"""
        require(request, Role.PUBLIC)
        name = request.path_params["manifest"]
        if len(name) > MAX_ID_CHARS or not name.isprintable():
            raise UsageError("this is no identifier of a manifest")
        active = truth(request, "returnActiveManifest")
        data = await asyncio.to_thread(self._engine.public.manifest, name, active_only=active)
        return Response(data, media_type="application/c2pa")

    async def supported(self, request: Request) -> Response:
        """``GET /services/supportedAlgorithms``"""
        require(request, Role.PUBLIC)
        return JSONResponse(supported_algorithms())

    async def _bound(self, alg: str, value: str, limit: int) -> Response:
        found = await asyncio.to_thread(self._engine.public.by_binding, alg, value, limit=limit)
        return JSONResponse(to_api(found))

    def _hinted(self, request: Request, limit: int) -> list[Match]:
        """What the additional binding finds; one that is not understood is no help, and no error."""
        alg, value = request.query_params.get("hintAlg"), request.query_params.get("hintValue")
        if alg is None or value is None:
            return []
        try:
            return self._engine.public.by_binding(alg, value, limit=limit)
        except UsageError:
            return []
