"""Records: the public ones for everybody, all of them for those who sign here; and the question that shows nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from provenance.errors import LedgerError, NoCredentialError, UsageError
from provenance.ledger.receipt import Receipt
from provenance.ledger.service import info
from provenance.resolve import answers, bands
from provenance.resolve.listing import make_discoverable, make_private
from provenance.resolve.receipts import best_receipt
from provenance.store.local import LocalStore
from veilmark.web.api.engine import Engine
from veilmark.web.api.queries import MAX_RESULTS, whole
from veilmark.web.services import require, visitor
from veilmark.web.settings import Role

_MOST = (1 << 63) - 1


class Records:
    """Routes about records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def listing(self, request: Request) -> Response:
        """``GET /v1/records``: the public ones, all or by SHA-256."""
        require(request, Role.PUBLIC)
        public = self._engine.public
        digest = request.query_params.get("sha256")
        if digest is None:
            after = whole(request, "after", 0, low=0, high=_MOST)
            limit = whole(request, "limit", 50, low=1, high=answers.PAGE, cap=True)
            return JSONResponse(await asyncio.to_thread(answers.records, public, after=after, limit=limit))
        if len(digest) != 64 or any(one not in "0123456789abcdefABCDEF" for one in digest):
            raise UsageError("sha256 is not 64 hexadecimal digits")
        found = await asyncio.to_thread(public.by_sha256, digest, limit=MAX_RESULTS)
        listed = [match.to_json() for match in found]
        return JSONResponse({"schema": "veilmark.records/1", "records": listed, "next": None})

    async def one(self, request: Request) -> Response:
        """``GET /v1/records/{index}``: what its receipt says."""
        return JSONResponse(await asyncio.to_thread(self._about, request))

    async def receipt(self, request: Request) -> Response:
        """``GET /v1/records/{index}/receipt``: the receipt itself, as a file."""
        data = await asyncio.to_thread(lambda: self._receipt(request).to_bytes())
        return Response(data, media_type="text/plain; charset=utf-8")

    async def list_it(self, request: Request) -> Response:
        """``PUT /v1/records/{index}/discoverable``: let others find it."""
        return await self._switched(request, True)

    async def take_back(self, request: Request) -> Response:
        """``DELETE /v1/records/{index}/discoverable``"""
        return await self._switched(request, False)

    async def band_counts(self, request: Request) -> Response:
        """``GET /v1/bands``: the same for everybody."""
        require(request, Role.PUBLIC)
        return JSONResponse(await asyncio.to_thread(answers.band_counts, self._engine.public))

    async def bucket(self, request: Request) -> Response:
        """``GET /v1/bands/{bits}/{prefix}``: all records whose band begins so, up to one bit."""
        require(request, Role.PUBLIC)
        bits, prefix = (_number(request.path_params[name]) for name in ("bits", "prefix"))
        question, after = bands.Question(bits, prefix), whole(request, "after", 0, low=0, high=_MOST)
        return JSONResponse(await asyncio.to_thread(answers.bucket, self._engine.public, question, after))

    # ------------------------------------------------------------------ inside

    def _about(self, request: Request) -> dict[str, object]:
        receipt = self._receipt(request)
        record = receipt.opening.signed.record.to_json()
        return {"schema": "veilmark.receipt-info/1", **asdict(info(receipt)), "record": record}

    def _receipt(self, request: Request) -> Receipt:
        require(request, Role.PUBLIC)
        index = _number(request.path_params["index"])
        if not visitor(request).may(Role.SIGNER):
            return self._engine.public.by_index(index).receipt
        try:
            return best_receipt(self._engine.settings.home, self._engine.ledger, index)
        except LedgerError as error:
            raise NoCredentialError(str(error)) from None

    async def _switched(self, request: Request, on: bool) -> Response:
        require(request, Role.KEEPER)
        index, ledger = _number(request.path_params["index"]), self._engine.ledger
        store = LocalStore(self._engine.settings.home.store)

        def switch() -> dict[str, object]:
            try:
                entry = ledger.entry(index)
            except LedgerError as error:
                raise NoCredentialError(str(error)) from None
            make_discoverable(ledger, store, index) if on else make_private(ledger, index)
            about = {"index": index, "discoverable": on, "file_sha256": entry.record.file_sha256}
            return {"schema": "veilmark.discoverable/1", **about}

        return JSONResponse(await asyncio.to_thread(switch))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise UsageError("this is no whole number")
    return int(text)
