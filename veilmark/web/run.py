"""Run the application under uvicorn, one service for each home."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from provenance.errors import UsageError
from veilmark.web.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

try:
    import fcntl
except ImportError:  # Windows: two services on one home share the ledger, and each its own jobs
    fcntl = None  # type: ignore[assignment]

Tell = Callable[[str], None]
_CONNECTIONS = 4096


def run_studio(settings: Settings, *, open_browser: bool, tell: Tell) -> None:
    """Serve one person on this machine until interrupted.

    Raises:
        UsageError: another service runs on this home, or the port is taken.
    """
    from veilmark.web.app import create_app

    with only_one(settings), listening(settings) as sockets:
        app = create_app(settings)
        link = f"{settings.public_origin}/enter?once={app.state.services.access.one_time()}"
        tell(f"The studio is at {link}")
        tell("The link works once. Ctrl-C ends the studio.")
        if open_browser:
            threading.Thread(target=_open_soon, args=(link,), daemon=True).start()
        _serve(app, settings, sockets)


def run_service(settings: Settings, *, tell: Tell) -> None:
    """Serve a team until interrupted.

    Raises:
        UsageError: another service runs on this home, the port is taken, or the certificate cannot be used.
    """
    from veilmark.web.app import create_app

    with only_one(settings), listening(settings) as sockets:
        app = create_app(settings)
        tell(f"The service is at {settings.public_origin}")
        _serve(app, settings, sockets)


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold this home's service lock; the queue of jobs has one owner.

    Raises:
        UsageError: another service holds it.
    """
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.folder / "service.lock").open("a+b") as handle:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    "another studio or service runs on this home",
                    hint="use that one, or end it first, or set VEILMARK_HOME to another folder",
                ) from None
        yield


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """The bound socket, before anything is told about it.

    Raises:
        UsageError: the address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        if os.name == "posix":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((settings.host, settings.port))
        except OSError as error:
            raise UsageError(
                f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}",
                hint="choose another --port",
            ) from error
        yield [one]


def _serve(app: Starlette, settings: Settings, sockets: list[socket.socket]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.services.jobs.ending.set()  # connections that wait for news end before the service does
            super().handle_exit(sig, frame)

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = uvicorn.Config(
            app,
            access_log=False,  # addresses of visitors are nobody's business
            server_header=False,
            log_level="warning",
            ws="none",
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=",".join(settings.proxies) or "127.0.0.1",
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=32 * 1024,
        )
        config.load()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"TLS cannot be set up: {error}", hint="check certificate and key under [tls]"
        ) from error
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        Server(config).run(sockets=sockets)


def _open_soon(link: str) -> None:
    time.sleep(1.0)
    webbrowser.open(link)
