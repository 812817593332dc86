"""A file that a program sends: the body of a request as it is, streamed to disk within limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from veilmark.web.names import harmless
from veilmark.web.rates import network_of
from veilmark.web.services import services, visitor
from veilmark.web.settings import Limits
from veilmark.web.uploads import bounded_body

Result = TypeVar("Result")

#: What browsers can send to another site without asking it first; under /v1 nothing of that kind is a file.
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


async def receive_file(request: Request, folder: Path, *, durable: bool) -> Path:
    """Stream the body into ``folder``, under the harmless form of the query's ``name``.

    Args:
        durable: it is on disk on return, for a job that is acknowledged afterwards.

    Raises:
        HTTPException: 400 empty or broken off; 408 too slow; 413 too large; 415 a form; 429 too often; 503 too many
            at once.
    """
    have = services(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _FORMS:
        raise HTTPException(415, "send the file itself as the body, not a form")
    address = network_of(request.client.host if request.client else "")
    if seconds := have.uploads.wait(address):
        raise HTTPException(429, "too many uploads; try again later", {"Retry-After": str(seconds)})
    if have.receiving.locked():
        raise HTTPException(503, "too many uploads at once; try again soon", {"Retry-After": "5"})
    limits = have.settings.limits
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.upload_bytes:
        raise HTTPException(413, f"this is larger than {limits.upload_bytes} bytes")
    path = folder / harmless(request.query_params.get("name", "file")[:1000])
    async with have.receiving:
        with path.open("xb") as stream:
            try:
                async for chunk in bounded_body(request, limits.upload_bytes, limits.upload_seconds):
                    await asyncio.to_thread(stream.write, chunk) if len(chunk) > 262144 else stream.write(
                        chunk
                    )
            except ClientDisconnect:
                raise HTTPException(400, "the upload broke off") from None
            if durable:
                stream.flush()
                await asyncio.to_thread(os.fsync, stream.fileno())
    if not path.stat().st_size:
        raise HTTPException(400, "the body is empty: send the file itself")
    return path


class Bench:
    """Where a file is worked at while its sender waits: so many at a time, the others in line.

    Nothing of it is acknowledged before it is answered, so nothing of it outlives the request.
    """

    def __init__(self, limits: Limits) -> None:
        self._places = asyncio.Semaphore(limits.workers)

    async def with_file(self, request: Request, work: Callable[[Path], Result]) -> Result:
        """Receive the file, call ``work`` with it in a thread, and remove it.

        Raises:
            HTTPException: see :func:`receive_file`.
            Busy: too many wait.
        """
        with services(request).jobs.preparing("v1", visitor(request).owner) as place:
            path = await receive_file(request, place.inbox, durable=False)
            async with self._places:
                # a thread cannot be stopped: who goes away does not make room for another meanwhile
                working = asyncio.create_task(asyncio.to_thread(work, path))
                try:
                    return await asyncio.shield(working)
                except asyncio.CancelledError:
                    with suppress(Exception):
                        await working
                    raise
