"""`GET /v1/quarantine`: what was refused, by cause, so that a broken sender is found in one look."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import storefront_of_key
from app.domain.outcome import RejectReason
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.domain.time_range import instant
from app.storage.quarantine import QuarantineGroup, Selection, quarantine_groups

# A day, in the storefront's time zone, or an instant.
Moment = AwareDatetime | date


class ExampleAnswer(BaseModel):
    """The newest event of a group."""

    raw: Annotated[str, Field(description="its beginning, as text; bytes that are no UTF-8 as \\xNN")]
    size_bytes: int
    detail: Annotated[str, Field(description="what its sender was told")]


class GroupAnswer(BaseModel):
    reason: str
    pointer: Annotated[str, Field(description='JSON pointer into the event, "" = the event itself')]
    format: str
    count: int
    replayed_count: int
    first_received_at: datetime
    last_received_at: datetime
    example: ExampleAnswer


class QuarantineAnswer(BaseModel):
    """groups: the largest first."""

    groups: list[GroupAnswer]


def quarantine_router(engine: AsyncEngine, keys: KeyDirectory) -> APIRouter:
    router = APIRouter(prefix="/v1/quarantine", tags=["operations"])
    reader = storefront_of_key(keys, KeyKind.READ, KeyKind.ADMIN, task="looking into the quarantine")

    @router.get("", summary="Refused events, grouped by what is wrong with them")
    async def get_quarantine(
        storefront: Annotated[Storefront, Depends(reader)],
        from_: Annotated[Moment | None, Query(alias="from", description="first day or instant of arrival")] = None,
        to: Annotated[Moment | None, Query(description="day or instant at which the range ends")] = None,
        reason: RejectReason | None = None,
        limit: Annotated[int, Query(ge=1, le=500, description="groups, the largest first")] = 50,
    ) -> QuarantineAnswer:
        zone = storefront.time_zone
        start, end = (None if moment is None else instant(moment, zone) for moment in (from_, to))
        selection = Selection(storefront.storefront_id, reason, start=start, end=end)
        return QuarantineAnswer(groups=list(map(_shown, await quarantine_groups(engine, selection, limit))))

    return router


def _shown(group: QuarantineGroup) -> GroupAnswer:
    example = ExampleAnswer(
        raw=group.example.decode(errors="backslashreplace"), size_bytes=group.example_bytes, detail=group.detail
    )
    return GroupAnswer(
        reason=group.reason,
        pointer=group.pointer,
        format=group.format,
        count=group.event_count,
        replayed_count=group.replayed_count,
        first_received_at=group.first_received_at,
        last_received_at=group.last_received_at,
        example=example,
    )
