"""Results: the reports of measurements, side by side, and as CSV."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from veilmark.web import results_view
from veilmark.web.results_view import Measured
from veilmark.web.services import require, services
from veilmark.web.settings import Role
from veilmark.web.view import page

_MOST_COMPARED = 4


async def listing(request: Request) -> Response:
    require(request, Role.SIGNER)
    return page(request, "results.html", reports=await _all(request), most=_MOST_COMPARED)


async def compare(request: Request) -> Response:
    chosen = await _chosen(request)
    return page(request, "compared.html", chosen=chosen, groups=results_view.side_by_side(chosen))


async def as_csv(request: Request) -> Response:
    chosen = await _chosen(request)
    headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
    return Response(results_view.to_csv(chosen), media_type="text/csv; charset=utf-8", headers=headers)


async def _all(request: Request) -> list[Measured]:
    return await asyncio.to_thread(results_view.reports, services(request).settings.results)


async def _chosen(request: Request) -> list[Measured]:
    require(request, Role.SIGNER)
    wanted = request.query_params.getlist("report")[:_MOST_COMPARED]
    known = {one.id: one for one in await _all(request)}
    chosen = [known[one] for one in dict.fromkeys(wanted) if one in known]
    if not chosen:
        raise HTTPException(400, "choose one or more reports")
    return chosen


ROUTES = [
    Route("/results", listing),
    Route("/results/compare", compare),
    Route("/results/compare.csv", as_csv),
]
