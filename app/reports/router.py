"""The report routes: who may ask, and the plumbing between HTTP and a report."""

import time
from datetime import datetime
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from app.bearer import bearer_token
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from app.reports.base import Report
from app.reports.funnel import FUNNEL
from app.reports.funnel_params import FunnelParams
from app.reports.funnel_result import FunnelResult
from app.reports.runner import ReportRunner
from app.reports.stages import STAGES, StagesParams
from app.storage.funnels import SavedFunnel, delete_funnel, list_funnels, load_funnel, save_funnel

FunnelName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="letters, digits, _ . -")
]


@dataclass(frozen=True)
class ReportParts:
    keys: KeyDirectory
    engine: AsyncEngine
    runner: ReportRunner


class SavedFunnelAnswer(BaseModel):
    name: str
    definition: FunnelParams
    updated_at: datetime


def reports_router(parts: ReportParts) -> APIRouter:
    """All routes that need a read key."""

    async def storefront_of_key(request: Request) -> Storefront:
        secret = bearer_token(request.headers.get("authorization"))
        if secret is None:
            raise Unauthenticated(
                "Send a read key as `Authorization: Bearer KEY`; `footfall keys create` makes one."
            )
        try:
            key = await parts.keys.find(secret)
        except Exception as error:  # whatever the driver raises while Postgres is away
            raise Unavailable(
                "Keys can't be checked at the moment; try again.", retry_after_seconds=2
            ) from error
        if key is None:
            raise Unauthenticated(
                "This key is not known; `footfall keys create STOREFRONT --kind read` makes one."
            )
        if key.kind not in (KeyKind.READ, KeyKind.ADMIN):
            raise Forbidden(f"This is a {key.kind} key; reports take a read key.")
        return key.storefront

    Reader = Annotated[Storefront, Depends(storefront_of_key)]

    async def answer(report: Report, params: BaseModel, storefront: Storefront) -> Any:
        started = time.perf_counter()
        result: Any = await parts.runner.run(
            report.name, storefront.storefront_id, lambda scan: report.run(params, scan, storefront)
        )
        result.seconds = round(time.perf_counter() - started, 6)
        return result

    async def saved(storefront: Storefront, name: str) -> SavedFunnel:
        found = await load_funnel(parts.engine, storefront.storefront_id, name)
        if found is None:
            raise NotFound(f"There is no funnel named {name}; GET /v1/funnels lists those there are.")
        return found

    router = APIRouter(prefix="/v1", tags=["reports"])

    @router.post("/reports/funnel", summary="Funnel drawn up on the spot")
    async def funnel(params: FunnelParams, storefront: Reader) -> FunnelResult:
        return await answer(FUNNEL, params, storefront)  # type: ignore[no-any-return]

    @router.get("/reports/funnel/{name}", summary="Saved funnel, answered now")
    async def saved_funnel(name: FunnelName, storefront: Reader) -> FunnelResult:
        params = FunnelParams.model_validate((await saved(storefront, name)).definition)
        return await answer(FUNNEL, params, storefront)  # type: ignore[no-any-return]

    @router.get("/reports/stages", summary="The storefront's stages as a funnel")
    async def stages(params: Annotated[StagesParams, Query()], storefront: Reader) -> FunnelResult:
        return await answer(STAGES, params, storefront)  # type: ignore[no-any-return]

    @router.put(
        "/funnels/{name}",
        summary="Save a funnel",
        status_code=200,
        responses={201: {"description": "Created"}},
    )
    async def put_funnel(
        name: FunnelName, params: FunnelParams, storefront: Reader, response: Response
    ) -> SavedFunnelAnswer:
        params.definition(
            storefront.stages
        )  # a stage that does not exist is refused now, not when it is asked for
        is_new = await save_funnel(
            parts.engine, storefront.storefront_id, name, params.model_dump(mode="json", exclude_unset=True)
        )
        response.status_code = 201 if is_new else 200
        return _shown(await saved(storefront, name))

    @router.get("/funnels/{name}", summary="A saved funnel's definition")
    async def get_funnel(name: FunnelName, storefront: Reader) -> SavedFunnelAnswer:
        return _shown(await saved(storefront, name))

    @router.get("/funnels", summary="All saved funnels")
    async def get_funnels(storefront: Reader) -> list[SavedFunnelAnswer]:
        return [_shown(found) for found in await list_funnels(parts.engine, storefront.storefront_id)]

    @router.delete("/funnels/{name}", summary="Delete a saved funnel", status_code=204)
    async def remove_funnel(name: FunnelName, storefront: Reader) -> None:
        if not await delete_funnel(parts.engine, storefront.storefront_id, name):
            raise NotFound(f"There is no funnel named {name}.")

    return router


def _shown(found: SavedFunnel) -> SavedFunnelAnswer:
    return SavedFunnelAnswer(
        name=found.name, definition=FunnelParams.model_validate(found.definition), updated_at=found.updated_at
    )
