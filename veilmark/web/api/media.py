"""Files that programs send: verified and looked up while they wait, signed as a job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veilmark.web.api.engine import Engine
from veilmark.web.api.queries import truth
from veilmark.web.api.receive import name_of, receive_file
from veilmark.web.api.signing import KIND, TEXTS
from veilmark.web.services import require, services, visitor
from veilmark.web.settings import Role


class Media:
    """Routes that take a file as their body."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def verify(self, request: Request) -> Response:
        """``POST /v1/verify``: a verdict. Who is not known here learns nothing of records that are not public."""
        require(request, Role.PUBLIC)
        everything, name = visitor(request).may(Role.SIGNER), name_of(request)

        def work(path: Path) -> dict[str, Any]:
            return dict(self._engine.workers.run("verify", path, name, everything))

        return JSONResponse(await self._engine.bench.with_file(request, work))

    async def find(self, request: Request) -> Response:
        """``POST /v1/find``: every record in the own ledger, for those who sign here."""
        require(request, Role.SIGNER)

        name = name_of(request)

        def work(path: Path) -> dict[str, Any]:
            return dict(self._engine.workers.run("find", path, name))

        return JSONResponse(await self._engine.bench.with_file(request, work))

    async def sign(self, request: Request) -> Response:
        """``POST /v1/sign``: a job; 202 when file and wish are on disk."""
        who = require(request, Role.SIGNER)
        flags = {name: truth(request, name) for name in ("allow_training", "discoverable")}
        texts = {name: request.query_params.get(name, "")[:4000] for name in TEXTS}
        jobs = services(request).jobs
        with jobs.preparing(KIND, who.owner) as job:
            name = name_of(request)
            await receive_file(request, job.inbox / name, durable=True)
            job.options = {"files": [name], **texts, **flags}
            await asyncio.to_thread(jobs.submit, job)
        return JSONResponse(job.to_json(), 202, {"Location": f"/v1/jobs/{job.id}"})
