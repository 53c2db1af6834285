"""The routes of the reports that come in slices: revenue, and what was lost on the way."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.access import StorefrontOfKey
from app.domain.storefront import Storefront
from app.reports.answers import ANSWER_RESPONSES, Answers
from app.reports.loss import LOSS, LossResult
from app.reports.revenue import REVENUE, RevenueParams, RevenueQuery
from app.reports.revenue_result import RevenueResult
from app.reports.slices import SliceQuery


def slices_router(answers: Answers, reader: StorefrontOfKey) -> APIRouter:
    router = APIRouter(prefix="/v1/reports", tags=["reports"], responses=ANSWER_RESPONSES)

    @router.get("/revenue", summary="Orders, refunds and revenue per currency", response_model=RevenueResult)
    async def revenue(
        query: Annotated[SliceQuery, Query()], storefront: Annotated[Storefront, Depends(reader)], request: Request
    ) -> Response:
        params = RevenueQuery.model_validate(query.model_dump(by_alias=True))
        return await answers.reply(REVENUE, params, storefront, request)

    @router.post("/revenue", summary="The same of some orders only", response_model=RevenueResult)
    async def filtered_revenue(
        params: RevenueParams, storefront: Annotated[Storefront, Depends(reader)], request: Request
    ) -> Response:
        return await answers.reply(REVENUE, params, storefront, request)

    @router.get("/loss", summary="Browsers' events that never arrived", response_model=LossResult)
    async def loss(
        query: Annotated[SliceQuery, Query()], storefront: Annotated[Storefront, Depends(reader)], request: Request
    ) -> Response:
        return await answers.reply(LOSS, query, storefront, request)

    return router
