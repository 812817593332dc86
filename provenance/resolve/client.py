"""Asking a service that speaks the C2PA Soft Binding Resolution API. Nothing of what it answers is believed here.

Only the address that the user named is asked: no redirect is followed, and no other service that an answer names.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import CheckError, NoCredentialError, ReceiptError, UsageError
from provenance.media.media_file import MediaFile
from provenance.resolve import bands
from provenance.resolve.bindings import value_of
from provenance.resolve.matches import EXTENSION, MAX_ID_CHARS, RECORDS, Match

TIMEOUT_SECONDS, LONGEST_SECONDS = 30.0, 300.0
#: Of each answer so many bytes are read.
MAX_ANSWER_BYTES, MAX_MANIFEST_BYTES = 64 * 1024 * 1024, 64 * 1024 * 1024
#: Of one look-up so many matches are looked at; so many records are fetched to hide among.
MAX_MATCHES, MAX_HIDING = 100, 20_000
_MAX_URL_VALUE, _PIECE_BYTES = 2000, 65536


@dataclass(frozen=True)
class Answered:
    """One match of an answer.

    Attributes:
        manifest_id: what the service calls the manifest; empty for a record without one.
        endpoint: another service that is said to have the manifest; it is not asked.
        match: what veilmark's services add, with the receipt; None where the service adds nothing.
        fault: why what it added cannot be read, or empty.
    """

    manifest_id: str
    endpoint: str = ""
    match: Match | None = None
    fault: str = ""


class Service:
    """A service at an address.

    Args:
        url: where the API is; ``/v1`` is added to an address without a path.
        timeout: seconds without any sign of the service.

    Raises:
        UsageError: not an https address, and not on this machine.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{url[:80]!r} is not an address: {error}") from error
        if (
            parts.scheme not in ("http", "https")
            or not host
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise UsageError(
                f"{url[:80]!r} is not the address of a service", hint="such as https://example.org/v1"
            )
        if parts.scheme == "http" and not _is_here(host):
            raise UsageError(
                f"{url[:80]!r} is not encrypted: whoever is on the way sees what you ask", hint="use https"
            )
        path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{path or '/v1'}"
        self._secure, self._host, self._port = parts.scheme == "https", host, port
        self._path, self._timeout = path or "/v1", timeout

    def algorithms(self) -> set[str]:
        """Names of the soft-binding algorithms that it says it supports."""
        answer = self._json("GET", "/services/supportedAlgorithms")
        listed = [one for key in ("fingerprints", "watermarks") for one in _list(answer.get(key), 1000)]
        return {one["alg"] for one in listed if isinstance(one, dict) and isinstance(one.get("alg"), str)}

    def by_binding(self, alg: str, value: str, *, limit: int = 10) -> list[Answered]:
        """Matches of a soft binding's value, which the service learns."""
        if len(value) > _MAX_URL_VALUE:
            body = json.dumps({"alg": alg, "value": value}).encode()
            query = urllib.parse.urlencode({"maxResults": limit})
            answer = self._json("POST", f"/matches/byBinding?{query}", body, "application/json")
        else:
            query = urllib.parse.urlencode({"alg": alg, "value": value, "maxResults": limit})
            answer = self._json("GET", f"/matches/byBinding?{query}")
        return _matches(answer)

    def by_pdq(self, alg: str, pdq: bytes, *, limit: int = 10) -> list[Answered]:
        """Matches of a PDQ hash, 32 bytes."""
        return self.by_binding(alg, value_of(pdq), limit=limit)

    def by_content(self, file: MediaFile, *, limit: int = 10) -> list[Answered]:
        """Matches of a file, which is sent to the service as it is."""
        query = urllib.parse.urlencode({"maxResults": limit})
        return _matches(self._json("POST", f"/matches/byContent?{query}", file.path, file.format.mime))

    def manifest(self, manifest_id: str) -> bytes:
        """A manifest store.

        Raises:
            NoCredentialError: it has none of that name.
        """
        path = f"/manifests/{urllib.parse.quote(manifest_id, safe=':')}"
        return self._ask("GET", path, None, "", MAX_MANIFEST_BYTES, accept="application/c2pa")

    def band_counts(self) -> list[int]:
        """How many records each beginning of the band has; see :mod:`provenance.resolve.bands`.

        Raises:
            CheckError: the service cannot be asked in this way.
        """
        answer = self._json("GET", "/bands")
        counts = answer.get("counts")
        fitting = (answer.get("band"), answer.get("band_bits"), answer.get("flips")) == (
            bands.BAND,
            bands.BAND_BITS,
            bands.FLIPS,
        )
        if not fitting or not isinstance(counts, list) or not all(_is_count(one) for one in counts):
            raise CheckError(
                f"{self.url} has other bands than this veilmark", hint="update the older of the two"
            )
        return counts

    def bucket(self, question: bands.Question) -> list[Answered]:
        """All records that answer a question.

        Raises:
            CheckError: they are more than :data:`MAX_HIDING`, or the service leads in circles.
        """
        found: list[Answered] = []
        after = 0
        while True:
            path = f"/bands/{question.bits}/{question.prefix}?after={after}"
            answer = self._json("GET", path)
            found += _records(answer.get("records"), 200)
            following = answer.get("next")
            if following is None:
                return found
            if not _is_count(following) or following <= after or len(found) > MAX_HIDING:
                raise CheckError(
                    f"{self.url} gives more than {MAX_HIDING} records, or no end of them",
                    hint="ask for fewer with a smaller --hide-among",
                )
            after = following

    # ------------------------------------------------------------------ inside

    def _json(
        self, method: str, path: str, body: bytes | Path | None = None, kind: str = ""
    ) -> dict[str, Any]:
        data = self._ask(method, path, body, kind, MAX_ANSWER_BYTES)
        try:
            parsed = strict_json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CheckError(
                f"{self.url} does not answer in JSON: {error}", hint="is it such a service?"
            ) from error
        if not isinstance(parsed, dict):
            raise CheckError(
                f"{self.url} answers something else than an object", hint="is it such a service?"
            )
        return parsed

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | Path | None,
        kind: str,
        limit: int,
        *,
        accept: str = "application/json",
    ) -> bytes:
        headers = {"Accept": accept, "User-Agent": "veilmark", **({"Content-Type": kind} if kind else {})}
        with self._connected() as connection:
            if isinstance(body, Path):
                with body.open("rb") as stream:
                    headers["Content-Length"] = str(body.stat().st_size)
                    connection.request(method, self._path + path, stream, headers)
            else:
                connection.request(method, self._path + path, body, headers)
            answer = connection.getresponse()
            data = self._read(answer, limit)
        if len(data) > limit:
            raise CheckError(f"{self.url}: the answer is over the limit of {limit} bytes")
        if answer.status == 200:
            return data
        said = _said(data)
        if answer.status == 404:
            raise NoCredentialError(
                f"{self.url} does not have it{said}", hint="is the address that of the API?"
            )
        if 300 <= answer.status < 400:
            raise CheckError(
                f"{self.url} leads to another address, which is not asked",
                hint="name that one, if you trust it",
            )
        hints = {
            401: "it asks for an account",
            403: "it asks for an account",
            413: "the file is too large for it",
        }
        hints |= {415: "it does not take this kind of file", 429: "ask again later, or less often"}
        raise CheckError(
            f"{self.url} answered {answer.status}{said}", hint=hints.get(answer.status, "try again later")
        )

    def _read(self, answer: http.client.HTTPResponse, limit: int) -> bytes:
        """At most one byte over the limit, for at most so long: a service may also be slow on purpose."""
        data = bytearray()
        until = time.monotonic() + LONGEST_SECONDS
        while len(data) <= limit and (piece := answer.read1(min(_PIECE_BYTES, limit + 1 - len(data)))):
            data += piece
            if time.monotonic() > until:
                raise CheckError(
                    f"{self.url} takes longer than {LONGEST_SECONDS:.0f} s", hint="try again later"
                )
        return bytes(data)

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        connection: http.client.HTTPConnection
        if self._secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            raise CheckError(
                f"{self.url} cannot be asked: {str(error) or type(error).__name__}", hint="is the service up?"
            ) from error
        finally:
            connection.close()


def _matches(answer: dict[str, Any]) -> list[Answered]:
    found = []
    for one in _list(answer.get("matches"), MAX_MATCHES):
        if not isinstance(one, dict) or not isinstance(one.get("manifestId"), str):
            continue
        name, endpoint = one["manifestId"][:MAX_ID_CHARS], one.get("endpoint")
        said = one.get(EXTENSION)
        read = _answered(said, name) if said is not None else Answered(name)
        where = endpoint[:2000] if isinstance(endpoint, str) else ""
        found.append(Answered(read.manifest_id, where, read.match, read.fault))
    return found + _records(answer.get(RECORDS), MAX_MATCHES)


def _records(listed: Any, limit: int) -> list[Answered]:
    return [_answered(one, "") for one in _list(listed, limit)]


def _answered(said: Any, manifest_id: str) -> Answered:
    try:
        match = Match.from_json(said)
    except ReceiptError as error:
        return Answered(manifest_id, fault=str(error))
    return Answered(manifest_id or match.manifest_id, match=match)


def _list(value: Any, limit: int) -> list[Any]:
    return value[:limit] if isinstance(value, list) else []


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _said(data: bytes) -> str:
    """What a service says of an error, where it says it as veilmark's do."""
    try:
        message = strict_json.loads(data[:65536])["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    plain = "".join(c for c in str(message)[:200] if c.isprintable())
    return f": {plain}"


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
