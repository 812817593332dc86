"""The interface for programs: under ``/v1``, and the log as static files would show it under the address itself.

``soft_binding`` is the C2PA's API, ``records`` what is found and how to ask without showing, ``media`` takes files,
``jobs`` is what takes time, ``log`` the published log and the witness, ``about`` health, figures and the description
(``openapi.json``). ``engine`` holds what they share; ``receive`` takes files from the network.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from provenance.errors import VeilmarkError
from veilmark.web.api import jobs
from veilmark.web.api.about import About
from veilmark.web.api.engine import Engine
from veilmark.web.api.log import Log
from veilmark.web.api.media import Media
from veilmark.web.api.records import Records
from veilmark.web.api.signing import KIND, signing
from veilmark.web.api.soft_binding import SoftBinding
from veilmark.web.errors import status_of
from veilmark.web.jobs import Kind
from veilmark.web.settings import Settings

__all__ = ["Engine", "kinds", "routes"]

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(engine: Engine) -> list[BaseRoute]:
    """What :func:`veilmark.web.app.create_app` adds to the pages."""
    api, records, media = SoftBinding(engine), Records(engine), Media(engine)
    log, about = Log(engine), About(engine)
    listed: list[tuple[str, str, Endpoint]] = [
        ("GET", "/v1/matches/byBinding", api.by_binding),
        ("POST", "/v1/matches/byBinding", api.by_large_binding),
        ("POST", "/v1/matches/byContent", api.by_content),
        ("GET", "/v1/manifests/{manifest:path}", api.manifest),
        ("GET", "/v1/services/supportedAlgorithms", api.supported),
        ("GET", "/v1/bands", records.band_counts),
        ("GET", "/v1/bands/{bits}/{prefix}", records.bucket),
        ("GET", "/v1/records", records.listing),
        ("GET", "/v1/records/{index}", records.one),
        ("GET", "/v1/records/{index}/receipt", records.receipt),
        ("PUT", "/v1/records/{index}/discoverable", records.list_it),
        ("DELETE", "/v1/records/{index}/discoverable", records.take_back),
        ("POST", "/v1/verify", media.verify),
        ("POST", "/v1/find", media.find),
        ("POST", "/v1/sign", media.sign),
        ("GET", "/v1/jobs/{job}", jobs.one),
        ("DELETE", "/v1/jobs/{job}", jobs.remove),
        ("GET", "/v1/jobs/{job}/events", jobs.events),
        ("GET", "/v1/jobs/{job}/files/{name}", jobs.fetch),
        ("GET", "/v1/witness", log.witness_key),
        ("GET", "/v1/openapi.json", about.openapi),
        ("GET", "/v1/schemas/{name}.json", about.schema),
        ("GET", "/checkpoint", log.checkpoint),
        ("GET", "/tile/{path:path}", log.tile),
        ("POST", "/add-checkpoint", log.add_checkpoint),
        ("GET", "/healthz", about.health),
        ("GET", "/metrics", about.figures),
    ]
    return [
        Route(path, _counted(engine, path, endpoint), methods=[method]) for method, path, endpoint in listed
    ]


def kinds(settings: Settings) -> Mapping[str, Kind]:
    """The kinds of jobs that programs start."""
    return {KIND: signing(settings)}


def _counted(engine: Engine, route: str, endpoint: Endpoint) -> Endpoint:
    async def counted(request: Request) -> Response:
        began, status = time.monotonic(), 500
        try:
            answer = await endpoint(request)
            status = answer.status_code
            return answer
        except HTTPException as error:
            status = error.status_code
            raise
        except Exception as error:
            status = status_of(error) if isinstance(error, VeilmarkError) else status
            raise
        finally:
            engine.metrics.count(route, status, time.monotonic() - began)

    return counted
