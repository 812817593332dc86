"""Files that programs send: verified and looked up while they wait, signed as a job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import NotInitializedError
from provenance.media.files import write_bytes
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.search.lookup import similar_records
from provenance.search.titles import Description, describe_records
from provenance.verdict import MatchKind
from provenance.verify import verify_file
from veilmark.web.api.engine import Engine
from veilmark.web.api.queries import truth
from veilmark.web.api.receive import receive_file
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
        everything, scrub = visitor(request).may(Role.SIGNER), services(request).scrub

        def work(path: Path) -> dict[str, Any]:
            if not everything:
                self._lay_receipt_beside(path)
            lookup = self._engine.lookup if everything else None
            verdict = verify_file(path, self._engine.trust, lookup=lookup)
            verdict.path = path.name
            verdict.headline = scrub(verdict.headline)
            verdict.warnings = [scrub(one) for one in verdict.warnings]
            verdict.checks = [replace(one, detail=scrub(one.detail)) for one in verdict.checks]
            return verdict.to_json()

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
            return {"schema": "veilmark.found/1", "path": path.name, "records": listed}

        return JSONResponse(await self._engine.bench.with_file(request, work))

    async def sign(self, request: Request) -> Response:
        """``POST /v1/sign``: a job; 202 when file and wish are on disk."""
        who = require(request, Role.SIGNER)
        flags = {name: truth(request, name) for name in ("allow_training", "discoverable")}
        texts = {name: request.query_params.get(name, "")[:4000] for name in TEXTS}
        jobs = services(request).jobs
        with jobs.preparing(KIND, who.owner) as job:
            path = await receive_file(request, job.inbox, durable=True)
            job.options = {"files": [path.name], **texts, **flags}
            await asyncio.to_thread(jobs.submit, job)
        return JSONResponse(job.to_json(), 202, {"Location": f"/v1/jobs/{job.id}"})

    def _lay_receipt_beside(self, path: Path) -> None:
        """The receipt of a public record of this very file, where the verification looks for one."""
        if not (self._engine.settings.discoverable and self._engine.settings.home.ledger.exists()):
            return
        for match in self._engine.public.by_sha256(MediaFile.open_any(path)[0].sha256):
            if match.kind is MatchKind.FILE:
                write_bytes(with_suffix_added(path, RECEIPT_SUFFIX), match.receipt.to_bytes())
                return
