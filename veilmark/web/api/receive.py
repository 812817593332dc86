"""A file that a program sends: the body of a request as it is, streamed to disk within limits."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from provenance.errors import VeilmarkError
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from veilmark.web.jobs import Busy
from veilmark.web.names import harmless
from veilmark.web.rates import network_of
from veilmark.web.services import services
from veilmark.web.settings import Limits
from veilmark.web.uploads import bounded_body

Result = TypeVar("Result")

#: What browsers can send to another site without asking it first; under /v1 nothing of that kind is a file.
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


async def receive_file(request: Request, path: Path, *, durable: bool) -> None:
    """Stream the body into a file that is not there yet.

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
    received = 0
    async with have.receiving:
        with path.open("xb") as stream:
            try:
                async for chunk in bounded_body(request, limits.upload_bytes, limits.upload_seconds):
                    received += len(chunk)
                    await asyncio.to_thread(stream.write, chunk) if len(chunk) > 262144 else stream.write(
                        chunk
                    )
            except ClientDisconnect:
                raise HTTPException(400, "the upload broke off") from None
            if durable:
                stream.flush()
                await asyncio.to_thread(os.fsync, stream.fileno())
    if not received:
        raise HTTPException(400, "the body is empty: send the file itself")


def name_of(request: Request) -> str:
    """The harmless form of the query's ``name``."""
    return harmless(request.query_params.get("name", "file")[:1000])


class Bench:
    """Where a file is worked at while its sender waits: so many at a time, the others in line.

    Nothing of it is acknowledged before it is answered, so nothing of it outlives the request, and what a service that
    was killed left is removed when the next one begins. Files lie in one folder: making one for each costs more than
    the file.

    Args:
        folder: for these files alone.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._most, self._count = folder, limits.queue, 0
        self._places = asyncio.Semaphore(limits.workers)

    def clear(self) -> None:
        """Remove what an earlier service left; made where it is missing."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)

    async def with_file(self, request: Request, work: Callable[[Path], Result]) -> Result:
        """Receive the file, call ``work`` with it in a thread, and remove it and what lies beside it.

        Raises:
            HTTPException: see :func:`receive_file`.
            Busy: too many wait.
        """
        if self._count >= self._most:
            raise Busy("there is too much to do here at the moment; try again soon", 10)
        self._count += 1
        path = self._folder / secrets.token_hex(16)
        try:
            await receive_file(request, path, durable=False)
            async with self._places:
                # a thread cannot be stopped: who goes away does not make room for another meanwhile
                working = asyncio.create_task(asyncio.to_thread(_named, work, path, name_of(request)))
                try:
                    return await asyncio.shield(working)
                except asyncio.CancelledError:
                    with suppress(Exception):
                        await working
                    raise
        finally:
            self._count -= 1
            for one in (path, with_suffix_added(path, RECEIPT_SUFFIX)):
                one.unlink(missing_ok=True)


def _named(work: Callable[[Path], Result], path: Path, name: str) -> Result:
    """Call ``work``; what an error says of the file says it under the name that it was sent with."""
    try:
        return work(path)
    except VeilmarkError as error:
        raise type(error)(str(error).replace(str(path), name), hint=error.hint) from error
