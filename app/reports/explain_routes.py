"""The routes that ask what explains a step of a funnel."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import StorefrontOfKey
from app.domain.storefront import Storefront
from app.reports.answers import ANSWER_RESPONSES, Answers
from app.reports.funnel.explain import EXPLAIN, ExplainParams, ExplainQuery, ExplainResult
from app.reports.funnel.params import FunnelParams
from app.reports.saved import FunnelName, OtherRange, find_saved


class SavedExplainQuery(ExplainQuery, OtherRange):
    """Of a saved funnel, over its own range or another."""


def explain_router(engine: AsyncEngine, answers: Answers, reader: StorefrontOfKey) -> APIRouter:
    """engine: for saved funnels."""
    router = APIRouter(prefix="/v1/reports/funnel", tags=["reports"], responses=ANSWER_RESPONSES)

    @router.post("/explain", summary="What goes with reaching a step, or not", response_model=ExplainResult)
    async def explain(
        funnel: FunnelParams,
        query: Annotated[ExplainQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        return await answers.reply(EXPLAIN, ExplainParams(funnel=funnel, query=query), storefront, request)

    @router.get("/{name}/explain", summary="The same of a saved funnel", response_model=ExplainResult)
    async def saved_explain(
        name: FunnelName,
        query: Annotated[SavedExplainQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        found = await find_saved(engine, storefront, name)
        funnel = query.instead_of(FunnelParams.model_validate(found.definition), storefront)
        return await answers.reply(EXPLAIN, ExplainParams(funnel=funnel, query=query), storefront, request)

    return router
