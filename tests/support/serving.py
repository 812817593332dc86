"""A service under uvicorn on a loopback port, in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import uvicorn

from veilmark.web.app import create_app
from veilmark.web.settings import Settings


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        settings = replace(settings, port=listening.getsockname()[1])
        config = uvicorn.Config(create_app(settings), log_level="warning", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until and thread.is_alive():
            time.sleep(0.02)
        assert server.started, "the service does not start"
        try:
            yield f"http://127.0.0.1:{settings.port}"
        finally:
            server.should_exit = True
            thread.join(20)
