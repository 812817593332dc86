"""An object store on loopback for tests: moto's server, in the virtual environment that ``make s3`` makes.

It honours If-None-Match and If-Match, which :mod:`tests.provenance.store.test_objects` proves; s3rver 3.7.1 ignores
both (two writers "create" the same object), so that nothing could be shown with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".cache" / "moto" / "bin" / "moto_server"


class ObjectServer:
    """The server.

    Args:
        open_actions: so many requests are let through without keys, the rest refused; default: all let through.
    """

    def __init__(self, *, open_actions: int | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._open_actions = open_actions
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def __enter__(self) -> Self:
        limit = (
            {} if self._open_actions is None else {"INITIAL_NO_AUTH_ACTION_COUNT": str(self._open_actions)}
        )
        self._process = subprocess.Popen(
            [str(PROGRAM), "-H", "127.0.0.1", "-p", str(self.port)],
            env={**os.environ, **limit},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return self
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def new_bucket(self) -> str:
        """Make a bucket; returns an address below it."""
        name = f"b{uuid.uuid4().hex[:12]}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 loopback
        return f"s3://{name}/some/prefix"
