"""The log as everybody may read it (C2SP tlog-tiles), and the witness (C2SP tlog-witness)."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.ledger.note import MAX_NOTE_BYTES
from provenance.ledger.serve import checkpoint, tile
from provenance.ledger.witnessing import respond
from veilmark.web.api.engine import Engine
from veilmark.web.services import require
from veilmark.web.settings import Role
from veilmark.web.uploads import bounded_body

_MAX_REQUEST_BYTES, _REQUEST_SECONDS = MAX_NOTE_BYTES + 64 * 1024, 30
_FOREVER = "public, max-age=31536000, immutable"


class Log:
    """Routes outside of ``/v1``, under the address itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    async def checkpoint(self, request: Request) -> Response:
        """``GET /checkpoint``"""
        require(request, Role.PUBLIC)
        data = await asyncio.to_thread(lambda: checkpoint(self._engine.ledger))
        return Response(data, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})

    async def tile(self, request: Request) -> Response:
        """``GET /tile/...``: hashes and commitments; no record can be read from them."""
        require(request, Role.PUBLIC)
        path = f"tile/{request.path_params['path']}"
        data = await asyncio.to_thread(lambda: tile(self._engine.ledger, path))
        if data is None:
            raise HTTPException(404)
        return Response(data, media_type="application/octet-stream", headers={"Cache-Control": _FOREVER})

    async def add_checkpoint(self, request: Request) -> Response:
        """``POST /add-checkpoint``: cosign a log's checkpoint that extends the last one."""
        require(request, Role.PUBLIC)
        witness = self._engine.witness
        body = b"".join(
            [chunk async for chunk in bounded_body(request, _MAX_REQUEST_BYTES, _REQUEST_SECONDS)]
        )
        async with self._turn:  # the witness's memory is one file
            answer = await asyncio.to_thread(respond, witness, body)
        # the type as it is written: clients compare all of it, and a charset would make it another
        return Response(answer.text, answer.status, headers={"Content-Type": answer.media_type})

    async def witness_key(self, request: Request) -> Response:
        """``GET /v1/witness``: what logs and verifiers need to know of the witness."""
        require(request, Role.PUBLIC)
        witness = self._engine.witness
        return JSONResponse({"vkey": str(witness.verifier)})
