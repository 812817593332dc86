"""The application: settings in, ASGI out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from provenance.errors import VeilmarkError
from veilmark.web import api, desk, pages, work
from veilmark.web.access import Access
from veilmark.web.errors import on_busy, on_expected, on_http, on_unexpected
from veilmark.web.jobs import Busy, JobQueue
from veilmark.web.rates import Rate
from veilmark.web.scrubbing import scrubber
from veilmark.web.security import Guard
from veilmark.web.services import Services
from veilmark.web.settings import Settings
from veilmark.web.workers import Workers

_SWEEP_SECONDS = 60


def create_app(settings: Settings) -> Starlette:
    """The whole service: pages, interface for programs, queue.

    Its queue starts and stops with the application's lifespan. ``app.state.services`` and
    ``app.state.engine`` are what routes work with.

    Args:
        settings: checked when they were made; nothing else configures the service.
    """
    limits, scrub = settings.limits, scrubber(settings)
    engine = api.Engine(settings, Workers(settings, desk.serve))
    services = Services(
        settings=settings,
        access=Access(settings),
        jobs=JobQueue(
            settings.folder / "jobs", {**work.kinds(settings, engine), **api.kinds(settings)}, limits, scrub
        ),
        requests=Rate(limits.requests_per_minute),
        uploads=Rate(limits.uploads_per_minute),
        logins=Rate(limits.logins_per_minute),
        receiving=asyncio.Semaphore(limits.uploads),
        scrub=scrub,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services.jobs.start()
        engine.bench.clear()
        sweeping = asyncio.create_task(_sweep(services.jobs))
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await asyncio.to_thread(services.jobs.close)
            engine.close()

    static = StaticFiles(directory=str(files("veilmark.web") / "static"))
    app = Starlette(
        routes=[*pages.routes(settings), *api.routes(engine), Mount("/static", static, name="static")],
        middleware=[Middleware(Guard, services=services, on_error=on_unexpected)],
        exception_handlers={
            HTTPException: on_http,
            Busy: on_busy,
            VeilmarkError: on_expected(scrub),
        },
        lifespan=lifespan,
    )
    app.state.services, app.state.engine = services, engine
    return app


async def _sweep(jobs: JobQueue) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(jobs.sweep)
