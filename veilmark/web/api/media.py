"""Files that programs send: verified and looked up while they wait, signed as a job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import NotInitializedError
from provenance.media.files import sha256_file
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.search.lookup import similar_records
from provenance.search.titles import Description, describe_records
from provenance.verify import verify_file
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
        scrub = services(request).scrub

        def work(path: Path) -> dict[str, Any]:
            if not everything:
                self._lay_receipt_beside(path)
            lookup = self._engine.lookup if everything else None
            verdict = verify_file(path, self._engine.trust, lookup=lookup)
            verdict.path = name
            verdict.headline = plain(verdict.headline, path)
            verdict.warnings = [plain(one, path) for one in verdict.warnings]
            verdict.checks = [replace(one, detail=plain(one.detail, path)) for one in verdict.checks]
            return verdict.to_json()

        def plain(text: str, path: Path) -> str:
            return scrub(text).replace(path.name, name)

        return JSONResponse(await self._engine.bench.with_file(request, work))

    async def find(self, request: Request) -> Response:
        """``POST /v1/find``: every record in the own ledger, for those who sign here."""
        require(request, Role.SIGNER)

        def work(path: Path) -> dict[str, Any]:
            lookup = self._engine.lookup
            if lookup is None:
                raise NotInitializedError("this service has no ledger yet")
            records = similar_records(MediaFile.open(path), lookup, self._engine.trust)
            described = describe_records(records, lookup)
            listed = [{**vars(one), **described.get(one.index, Description()).to_json()} for one in records]
            return {"schema": "veilmark.found/1", "path": name_of(request), "records": listed}

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

    def _lay_receipt_beside(self, path: Path) -> None:
        """The receipt of a public record of this very file, where the verification looks for one."""
        if not (self._engine.settings.discoverable and self._engine.settings.home.has_ledger()):
            return
        receipt = self._engine.public.receipt_of_file(sha256_file(path))
        if receipt is not None:
            with_suffix_added(path, RECEIPT_SUFFIX).write_bytes(receipt)
