"""/livez, /readyz, /version and /metrics: for probes and scrapers, without a key and without secrets."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from app.ops.health import Check, status_of
from app.ops.scrape import Scrape


def ops_router(checks: Sequence[Check], scrape: Scrape, version: str) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez", summary="The process answers")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="Every part works", responses={503: {"description": "Some part does not"}})
    async def readyz() -> Response:
        found = await asyncio.gather(*(check.result() for check in checks))
        results = {check.name: result for check, result in zip(checks, found, strict=True)}
        status = status_of(results)
        body = {"status": status, "checks": {name: result._asdict() for name, result in results.items()}}
        return JSONResponse(body, status_code=503 if status == "not ready" else 200)

    @router.get("/version", summary="What is running")
    async def show_version() -> dict[str, str]:
        return {"version": version}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def show_metrics() -> Response:
        return Response(await scrape.text(), media_type=CONTENT_TYPE_LATEST)

    return router
