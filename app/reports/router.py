"""The report routes: the plumbing between HTTP and a report."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import storefront_of_key
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.reports.answers import ANSWER_RESPONSES, Answers
from app.reports.explain_routes import explain_router
from app.reports.funnel import FUNNEL
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.result import FunnelResult
from app.reports.people_routes import journey_router, people_router
from app.reports.saved import FunnelName, OtherRange, find_saved, saved_funnels_router
from app.reports.slice_routes import slices_router
from app.reports.stage_rules import stage_rules_router
from app.reports.stages import STAGES, StagesParams


@dataclass(frozen=True)
class ReportParts:
    """What the report routes work with."""

    keys: KeyDirectory
    engine: AsyncEngine
    answers: Answers
    published_funnels_max: int
    reading: AsyncEngine


def reports_routers(parts: ReportParts) -> tuple[APIRouter, ...]:
    """All routes that need a read or an admin key. Side by side, not nested: metrics name a route by its whole path."""
    reader = storefront_of_key(parts.keys, KeyKind.READ, KeyKind.ADMIN, task="asking for reports")
    admin = storefront_of_key(parts.keys, KeyKind.ADMIN, task="changing the set-up")
    answers = parts.answers
    router = APIRouter(prefix="/v1/reports", tags=["reports"], responses=ANSWER_RESPONSES)

    @router.post("/funnel", summary="Funnel drawn up on the spot", response_model=FunnelResult)
    async def funnel(
        params: FunnelParams, storefront: Annotated[Storefront, Depends(reader)], request: Request
    ) -> Response:
        return await answers.reply(FUNNEL, params, storefront, request)

    @router.get("/funnel/{name}", summary="Saved funnel, over its own range or another", response_model=FunnelResult)
    async def saved_funnel(
        name: FunnelName,
        range_: Annotated[OtherRange, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        found = await find_saved(parts.engine, storefront, name)
        params = FunnelParams.model_validate(found.definition)
        return await answers.reply(FUNNEL, range_.instead_of(params, storefront), storefront, request)

    @router.get("/stages", summary="The storefront's stages as a funnel", response_model=FunnelResult)
    async def stages(
        params: Annotated[StagesParams, Query()], storefront: Annotated[Storefront, Depends(reader)], request: Request
    ) -> Response:
        return await answers.reply(STAGES, params, storefront, request)

    return (
        router,
        people_router(parts.engine, parts.reading, answers, reader),
        explain_router(parts.engine, answers, reader),
        slices_router(answers, reader),
        journey_router(parts.reading, answers, reader),
        saved_funnels_router(parts.engine, reader, parts.published_funnels_max),
        stage_rules_router(parts.engine, parts.keys, reader, admin),
    )
