"""Routes for the rights of a person: erasure, its receipt, and access; and to undo who a visitor was taken for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app.access import storefront_of_key
from app.clock import Clock
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.errors import NotFound
from app.persons.connections import Connections
from app.persons.export import export_lines
from app.persons.unlinking import unlinking_router
from app.storage.database import DatabaseUrl
from app.storage.erasures import Erasure, find_erasure, request_erasure
from app.storage.persons import Person, PersonKind, find_person

# Most erasures are through within a second; who asks for one of many millions of events need not wait for it.
RECEIPT_WAIT_SECONDS = 10.0
RECEIPT_LOOK_SECONDS = 0.25

PersonId = Annotated[
    str,
    Path(description="the sender's id: a customer_id, or else a visitor_id", max_length=200, pattern=r"^[^\x00]+$"),
]
ReceiptNumber = Annotated[int, Path(ge=1, lt=2**63)]
Kind = Annotated[PersonKind | None, Query(description="take the id as this and nothing else")]


class Receipt(BaseModel):
    """How far an erasure is. The counts grow until finished_at; visitors and customers are ids taken away."""

    receipt: int
    requested_at: datetime
    erased_at: datetime | None
    finished_at: datetime | None
    events: int
    quarantined: int
    spooled: int
    visitors: int
    customers: int

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        counts = erasure.counts
        return cls(
            receipt=erasure.erasure_id,
            requested_at=erasure.requested_at,
            erased_at=erasure.erased_at,
            finished_at=erasure.finished_at,
            events=counts.get("events", 0),
            quarantined=counts.get("quarantined", 0),
            spooled=counts.get("spooled", 0),
            visitors=len(erasure.person.visitor_ids),
            customers=len(erasure.person.customer_ids),
        )


def persons_router(url: DatabaseUrl, keys: KeyDirectory, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["persons"])
    reader = storefront_of_key(keys, KeyKind.READ, KeyKind.ADMIN, task="seeing what is held about a person")
    admin = storefront_of_key(keys, KeyKind.ADMIN, task="erasing a person")
    connections = Connections(url)
    # Before the erasure of persons, whose ids may hold slashes.
    router.include_router(unlinking_router(connections, keys, clock))

    @router.delete("/persons/{person_id:path}", summary="Erase a person (admin key)", status_code=202)
    async def erase_person(
        person_id: PersonId, storefront: Annotated[Storefront, Depends(admin)], kind: Kind = None
    ) -> Receipt:
        async with connections.brief() as connection:
            person = _found(await find_person(connection, storefront.storefront_id, person_id, kind))
            erasure = await request_erasure(connection, person)
        for _ in range(round(RECEIPT_WAIT_SECONDS / RECEIPT_LOOK_SECONDS)):
            if erasure.erased_at is not None:
                break
            await asyncio.sleep(RECEIPT_LOOK_SECONDS)
            async with connections.brief() as connection:
                erasure = await find_erasure(connection, storefront.storefront_id, erasure.erasure_id) or erasure
        return Receipt.of(erasure)

    @router.get("/erasures/{receipt}", summary="How far an erasure is (admin key)")
    async def get_erasure(receipt: ReceiptNumber, storefront: Annotated[Storefront, Depends(admin)]) -> Receipt:
        async with connections.brief() as connection:
            erasure = await find_erasure(connection, storefront.storefront_id, receipt)
        if erasure is None:
            raise NotFound(f"There is no erasure with the receipt {receipt}.")
        return Receipt.of(erasure)

    @router.get(
        "/persons/{person_id:path}/export",
        summary="Everything held about a person, as lines of JSON",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {}}}},
    )
    async def export_person(
        person_id: PersonId, storefront: Annotated[Storefront, Depends(reader)], kind: Kind = None
    ) -> StreamingResponse:
        async with connections.brief() as connection:
            person = _found(await find_person(connection, storefront.storefront_id, person_id, kind))

        async def lines() -> AsyncIterator[bytes]:
            async with connections.for_export() as connection:
                async for line in export_lines(connection, person):
                    yield line

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return router


def _found(person: Person | None) -> Person:
    if person is None:
        raise NotFound("Nobody is known under this id; ids are compared character by character.")
    return person
