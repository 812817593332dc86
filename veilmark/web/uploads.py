"""What a form sends, streamed: text fields into memory, files straight into the folder of a job, all within limits.

Files are on disk when :func:`receive_form` returns: what is acknowledged afterwards survives a crash.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from veilmark.web.names import harmless
from veilmark.web.rates import network_of
from veilmark.web.services import services, visitor
from veilmark.web.settings import Limits

CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
_MOST_FIELDS = 200
_MAX_HEADER_BYTES = 8192
#: Slower than this on the whole, a connection is held open on purpose.
_SLOWEST_BYTES_PER_SECOND, _PATIENCE_SECONDS = 1024, 20


@dataclass
class Form:
    """Text fields by name, and files in the order they came."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    #: The field of the form that each file came in.
    sources: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        return self.fields.get(name, [default])[-1]

    def texts(self, name: str) -> list[str]:
        return self.fields.get(name, [])


def admit_upload(request: Request) -> None:
    """Refuse an upload before anything is made for it.

    Raises:
        HTTPException: 429 too often; 503 too many at once.
    """
    have = services(request)
    address = network_of(request.client.host if request.client else "")
    if seconds := have.uploads.wait(address):
        raise HTTPException(429, "too many uploads; try again later", {"Retry-After": str(seconds)})
    if have.receiving.locked():
        raise HTTPException(503, "too many uploads at once; try again soon", {"Retry-After": "5"})


async def receive_form(request: Request, folder: Path | None = None) -> Form:
    """Read a form that was made for this visitor.

    Args:
        folder: where files go, under harmless names; None: this form has none.

    Raises:
        HTTPException: 400 no form; 403 not made for this visitor; 408 too slow; 413 over a limit; 415 another type.
    """
    have = services(request)
    limits = have.settings.limits
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    most = limits.upload_bytes if folder is not None else limits.field_bytes * 4
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most + 65536:
        raise HTTPException(413, f"this is larger than {most} bytes")
    reader: _Reader
    if kind == b"multipart/form-data" and options.get(b"boundary"):
        reader = _Multipart(request, folder, limits, options[b"boundary"])
    elif kind == b"application/x-www-form-urlencoded":
        reader = _Urlencoded(request, limits)
    else:
        raise HTTPException(415, "send a form")
    async with have.receiving if folder is not None else nullcontext():
        try:
            async for chunk in bounded_body(request, most + 65536, limits.upload_seconds):
                await asyncio.to_thread(reader.feed, chunk) if len(chunk) > 262144 else reader.feed(chunk)
            await asyncio.to_thread(reader.finish)
        except FormParserError:
            raise HTTPException(400, "this form cannot be read") from None
        except ClientDisconnect:
            raise HTTPException(400, "the upload broke off") from None
        finally:
            reader.close()
    reader.require_own()
    return reader.form


async def bounded_body(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body in pieces, within a size and a time.

    Raises:
        HTTPException: 408 too slow; 413 too large.
    """
    began, received = time.monotonic(), 0
    stream = request.stream()
    while True:
        spent = time.monotonic() - began
        left = min(seconds, _PATIENCE_SECONDS + received / _SLOWEST_BYTES_PER_SECOND) - spent
        try:
            async with asyncio.timeout(max(left, 0.001)):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, "this came too slowly", {"Connection": "close"}) from None
        received += len(chunk)
        if received > most:
            raise HTTPException(413, f"this is larger than {most} bytes", {"Connection": "close"})
        yield chunk


class _Reader:
    """What both kinds of forms share: the fields, and whose form it is."""

    def __init__(self, request: Request, limits: Limits) -> None:
        self.form = Form()
        self.limits = limits
        self._request = request
        self._count = 0

    def feed(self, data: bytes) -> None:
        raise HTTPException(415, "send a form")

    def finish(self) -> None:
        """The body ended."""

    def close(self) -> None:
        """Let go of open files."""

    def require_own(self) -> None:
        """403 unless the form carries the token of this visitor's session, or they showed an access token."""
        who = visitor(self._request)
        shown = self._request.headers.get(CSRF_HEADER) or self.form.text(CSRF_FIELD)
        if not who.bearer and not services(self._request).access.is_own_form(who, shown):
            raise HTTPException(403, "this form has expired; load the page again")

    def keep(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._count > _MOST_FIELDS:
            raise HTTPException(413, f"this form has more than {_MOST_FIELDS} fields")
        if len(name) > 200 or len(value) > self.limits.field_bytes:
            raise HTTPException(413, f"a field is larger than {self.limits.field_bytes} bytes")
        text = value.decode("utf-8", "replace")
        self.form.fields.setdefault(name.decode("utf-8", "replace"), []).append(text)


class _Urlencoded(_Reader):
    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request, limits)
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        self._body += data  # bounded by the reader of the body

    def finish(self) -> None:
        from urllib.parse import parse_qsl

        try:
            pairs = parse_qsl(self._body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except (UnicodeDecodeError, ValueError):
            raise HTTPException(400, "this form cannot be read") from None
        for name, value in pairs:
            self.keep(name.encode(), value.encode())


class _Multipart(_Reader):
    """Callbacks of the parser: one part after the other, a field or a file."""

    def __init__(self, request: Request, folder: Path | None, limits: Limits, boundary: bytes) -> None:
        super().__init__(request, limits)
        self._folder = folder
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._file: BinaryIO | None = None
        self._skipped = False
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        self._parser.write(data)

    def finish(self) -> None:
        self._parser.finalize()
        if not self._complete:
            raise HTTPException(400, "the upload broke off")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_begin(self) -> None:
        self._headers, self._value, self._name = {}, bytearray(), b""
        self._skipped = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._header, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._value, data[start:end])

    def _grow(self, kept: bytearray, more: bytes) -> None:
        kept += more
        if len(kept) > _MAX_HEADER_BYTES:
            raise HTTPException(413, "a header of a part is too long")

    def _header_end(self) -> None:
        if len(self._headers) < 16:
            self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, said = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = said.get(b"name", b"")
        if b"filename" not in said:
            return
        if not said[b"filename"]:
            self._skipped = True  # a field for files that was left empty
            return
        if self._folder is None:
            raise HTTPException(400, "this form takes no file")
        self.require_own()  # its token comes before its files
        if len(self.form.files) >= self.limits.files:
            raise HTTPException(413, f"these are more than {self.limits.files} files")
        taken = [one.name for one in self.form.files]
        path = self._folder / harmless(said[b"filename"].decode("utf-8", "replace"), taken)
        self._file = path.open("xb")
        self.form.files.append(path)
        self.form.sources.append(self._name.decode("utf-8", "replace"))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif not self._skipped:
            self._value += data[start:end]
            if len(self._value) > self.limits.field_bytes:
                raise HTTPException(413, f"a field is larger than {self.limits.field_bytes} bytes")

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self.close()
        elif not self._skipped:
            self.keep(self._name, bytes(self._value))

    def _end(self) -> None:
        self._complete = True
