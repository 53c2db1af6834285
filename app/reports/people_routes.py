"""The routes that lead from a number to the people behind it."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import StorefrontOfKey
from app.domain.storefront import Storefront
from app.errors import NotFound
from app.reports.answers import ANSWER_RESPONSES, Answers
from app.reports.funnel.drop_off import DROP_OFF, DropOffParams, DropOffQuery, DropOffResult
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.people import PEOPLE, PeopleParams, PeopleQuery, PeopleResult
from app.reports.journey import JOURNEY, JourneyParams, JourneyQuery, JourneyResult
from app.reports.links import LINKS, LinksParams, LinksQuery, LinksResult
from app.reports.saved import FunnelName, OtherRange, find_saved
from app.storage.person_keys import driver_connection, sender_keys
from app.storage.persons import find_id, find_person

PersonId = Annotated[
    str,
    Path(description="the sender's id: a customer_id, or else a visitor_id", max_length=200, pattern=r"^[^\x00]+$"),
]


class SavedPeopleQuery(PeopleQuery, OtherRange):
    """Of a saved funnel, over its own range or another."""


class SavedDropOffQuery(DropOffQuery, OtherRange):
    """Of a saved funnel, over its own range or another."""


def people_router(engine: AsyncEngine, reading: AsyncEngine, answers: Answers, reader: StorefrontOfKey) -> APIRouter:
    """engine: for saved funnels; reading: for the senders' texts."""
    router = APIRouter(prefix="/v1/reports/funnel", tags=["reports"], responses=ANSWER_RESPONSES)

    async def name_people(storefront: Storefront, result: PeopleResult) -> None:
        result.name(
            await sender_keys(
                reading,
                storefront.storefront_id,
                visitors=[who.visitor_id for who in result.who if who.visitor_id is not None],
                customers=[who.customer_id for who in result.who if who.customer_id is not None],
                accounts=[who.account_id for who in result.who if who.account_id is not None],
            )
        )

    @router.post("/people", summary="Who is behind a number of a funnel", response_model=PeopleResult)
    async def people(
        funnel: FunnelParams,
        query: Annotated[PeopleQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        params = PeopleParams(funnel=funnel, query=query)
        return await answers.reply(PEOPLE, params, storefront, request, partial(name_people, storefront))

    @router.get("/{name}/people", summary="Who is behind a number of a saved funnel", response_model=PeopleResult)
    async def saved_people(
        name: FunnelName,
        query: Annotated[SavedPeopleQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        params = PeopleParams(funnel=await saved(name, query, storefront), query=query)
        return await answers.reply(PEOPLE, params, storefront, request, partial(name_people, storefront))

    @router.post("/drop_off", summary="Why people stopped, and what they did next", response_model=DropOffResult)
    async def drop_off(
        funnel: FunnelParams,
        query: Annotated[DropOffQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        return await answers.reply(DROP_OFF, DropOffParams(funnel=funnel, query=query), storefront, request)

    @router.get("/{name}/drop_off", summary="The same of a saved funnel", response_model=DropOffResult)
    async def saved_drop_off(
        name: FunnelName,
        query: Annotated[SavedDropOffQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        params = DropOffParams(funnel=await saved(name, query, storefront), query=query)
        return await answers.reply(DROP_OFF, params, storefront, request)

    async def saved(name: str, range_: OtherRange, storefront: Storefront) -> FunnelParams:
        found = await find_saved(engine, storefront, name)
        return range_.instead_of(FunnelParams.model_validate(found.definition), storefront)

    return router


def journey_router(reading: AsyncEngine, answers: Answers, reader: StorefrontOfKey) -> APIRouter:
    router = APIRouter(prefix="/v1/persons", tags=["persons"], responses=ANSWER_RESPONSES)

    async def name_visitors(storefront: Storefront, result: JourneyResult) -> None:
        result.name(await sender_keys(reading, storefront.storefront_id, visitors=result.visitor_ids))

    @router.get("/{person_id:path}/journey", summary="A person's whole journey", response_model=JourneyResult)
    async def journey(
        person_id: PersonId,
        query: Annotated[JourneyQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        async with driver_connection(reading) as connection:
            person = await find_person(connection, storefront.storefront_id, person_id, query.kind)
        if person is None:
            raise NotFound("Nobody is known under this id; ids are compared character by character.")
        visitor_ids = {*person.visitor_ids, *person.shared_visitor_ids}
        params = JourneyParams(visitor_ids=tuple(sorted(visitor_ids)), customer_ids=person.customer_ids, query=query)
        return await answers.reply(JOURNEY, params, storefront, request, partial(name_visitors, storefront))

    async def name_both(storefront: Storefront, result: LinksResult) -> None:
        ids = {"visitors": result.visitor_ids, "customers": result.customer_ids}
        result.name(await sender_keys(reading, storefront.storefront_id, **ids))

    @router.get("/{person_id:path}/links", summary="Who was seen with whom", response_model=LinksResult)
    async def links(
        person_id: PersonId,
        query: Annotated[LinksQuery, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        request: Request,
    ) -> Response:
        async with driver_connection(reading) as connection:
            found = await find_id(connection, storefront.storefront_id, person_id, query.kind)
        if found is None:
            raise NotFound("Nobody is known under this id; ids are compared character by character.")
        params = LinksParams(of=found[0], number=found[1], limit=query.limit)
        return await answers.reply(LINKS, params, storefront, request, partial(name_both, storefront))

    return router
