"""Object storage (S3 and what speaks it, GCS, Azure): small objects, written only where nothing else was meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from provenance.addresses import is_bucket
from provenance.errors import StoreError, UsageError

#: What servers say of a bucket in another region.
_ELSEWHERE = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "301 Moved",
    "IncorrectEndpoint",
    "configured region",
)
_TIMEOUT = timedelta(seconds=30)
_RETRIES: Any = {"max_retries": 2, "retry_timeout": _TIMEOUT}


class Bucket:
    """Objects below ``s3://BUCKET/PREFIX`` (``gs://``, ``az://``).

    Keys, region and end point come from the environment, as the vendor's own tools take them: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, and ``AWS_ALLOW_HTTP=true`` for one without TLS.

    Raises:
        UsageError: no such address.
    """

    def __init__(self, address: str) -> None:
        self.where = address.rstrip("/")
        if not is_bucket(address) or "@" in address or "?" in address:
            hint = "s3://BUCKET/PREFIX; keys belong into the environment"
            raise UsageError(f"{address[:80]!r} is no bucket", hint=hint)
        try:
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
            options: Any = {"timeout": _TIMEOUT, "allow_http": plain}
            self._store: Any = from_url(self.where, retry_config=_RETRIES, client_options=options)
        except (BaseError, ValueError) as error:
            raise UsageError(f"{self.where} is no bucket: {_first_line(error)}") from error

    def read(self, path: str, limit: int) -> tuple[bytes, str] | None:
        """An object's bytes, at most ``limit`` and one, and what tells this state of it; None when there is none.

        Raises:
            StoreError: it cannot be read.
        """
        with self._translated(path):
            try:
                found = obstore.get(self._store, path)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            size, tag = int(found.meta["size"]), str(found.meta["e_tag"] or "")
            if size > limit:
                return bytes(obstore.get_range(self._store, path, start=0, length=limit + 1)), tag
            return bytes(found.bytes()), tag

    def create(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one already (If-None-Match); False: there is."""
        with self._translated(path):
            try:
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def replace(self, path: str, data: bytes, tag: str) -> bool:
        """Write an object if it is still in the state that :meth:`read` told (If-Match); False: it is not."""
        with self._translated(path):
            try:
                obstore.put(self._store, path, data, mode={"e_tag": tag}, use_multipart=False)
            except (PreconditionError, FileNotFoundError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                return False
        return True

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            text = _first_line(error)
            raise StoreError(f"{self.where}/{path}: {text}", hint=_hint_for(error)) from error


def _hint_for(error: Exception) -> str:
    text = str(error)
    if any(word in text for word in _ELSEWHERE):
        return "the bucket is in another region: set AWS_REGION to it"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "the keys do not allow this: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
    if "NoSuchBucket" in text:
        return "make the bucket first, or correct its name"
    if "credential" in text.lower():
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket"
        )
    return "check the address (AWS_ENDPOINT_URL), the region and the network, then try again: nothing is half written"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\nDebug source")[0].split())[:300]
