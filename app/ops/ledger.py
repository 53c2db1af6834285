"""GET /v1/ledger: what came in and what became of it, for operators and for whoever sends the events."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from app.access import storefront_of_key
from app.clock import Clock
from app.domain.ledger import LedgerKey
from app.domain.storefront import KeyDirectory, KeyKind, Storefront
from app.domain.time_range import instant
from app.errors import FieldError, Invalid
from app.ops.quarantine import Moment
from app.storage.ledger import LedgerQuery, LedgerRow, read_ledger

# Events received that the ledger in Postgres does not know of yet, per storefront, source and minute.
Pending = Callable[[], Mapping[LedgerKey, int]]

ROWS_MAX = 10_000
DEFAULT_RANGE = timedelta(days=1)


class LedgerParams(BaseModel):
    """Half-open: from <= t < to; days are the storefront's. Without them the last 24 hours."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[Moment | None, Field(alias="from", description="first day or instant")] = None
    to: Annotated[Moment | None, Field(description="day or instant at which the range ends")] = None
    granularity: Literal["minute", "hour", "day"] = "hour"
    source: Annotated[str | None, Field(max_length=50, description="a wire format's name; all when left out")] = None


class LedgerCounts(BaseModel):
    """In events. received = all the others up to `spooled`, and `imbalance`, which should be 0."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    bot: int = 0
    no_consent: int = 0
    limited: int = 0
    spooled: int = 0
    imbalance: int = 0
    erased: int = 0

    def add(self, other: "LedgerCounts") -> None:
        for name in LedgerCounts.model_fields:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class LedgerPeriod(LedgerCounts):
    start: AwareDatetime
    source: str


class LedgerAnswer(BaseModel):
    rows: list[LedgerPeriod]
    totals: LedgerCounts


def ledger_router(engine: AsyncEngine, keys: KeyDirectory, clock: Clock, pending: Pending) -> APIRouter:
    """engine: to read with."""
    router = APIRouter(tags=["operations"])
    reader = storefront_of_key(keys, KeyKind.READ, KeyKind.ADMIN, task="reading the ledger")

    @router.get(
        "/v1/ledger",
        summary="What became of everything received",
        response_model=LedgerAnswer,
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def ledger(
        params: Annotated[LedgerParams, Query()],
        storefront: Annotated[Storefront, Depends(reader)],
        accept: Annotated[str, Header()] = "",
    ) -> Any:
        query = _query(params, storefront, clock.now())
        rows = await read_ledger(engine, query)
        if len(rows) > ROWS_MAX:
            raise Invalid(f"That is more than {ROWS_MAX} rows: ask for a shorter range or a coarser granularity.")
        periods = _periods(rows, _spooled(pending(), query))
        if "text/csv" in accept:
            return Response(_csv(periods), media_type="text/csv")
        totals = LedgerCounts()
        for period in periods:
            totals.add(period)
        return LedgerAnswer(rows=periods, totals=totals)

    return router


def _query(params: LedgerParams, storefront: Storefront, now: datetime) -> LedgerQuery:
    """Raises Invalid for a range in which nothing lies."""
    zone = storefront.time_zone
    end = now if params.to is None else instant(params.to, zone)
    start = end - DEFAULT_RANGE if params.from_ is None else instant(params.from_, zone)
    if start >= end:
        raise Invalid("The range is empty.", errors=[FieldError("`to` must be after `from`", "/query/to")])
    return LedgerQuery(
        storefront_id=storefront.storefront_id,
        start=start,
        end=end,
        unit=params.granularity,
        time_zone=zone,
        source=params.source,
        limit=ROWS_MAX + 1,
    )


def _spooled(pending: Mapping[LedgerKey, int], query: LedgerQuery) -> dict[tuple[datetime, str], int]:
    """What lies in the spool, per period and source."""
    counts: dict[tuple[datetime, str], int] = {}
    for (storefront_id, source, minute), count in pending.items():
        if (
            storefront_id == query.storefront_id
            and query.start <= minute < query.end
            and query.source in (None, source)
        ):
            key = (_period_start(minute, query), source)
            counts[key] = counts.get(key, 0) + count
    return counts


def _period_start(minute: datetime, query: LedgerQuery) -> datetime:
    local = minute.astimezone(ZoneInfo(query.time_zone))
    if query.unit == "minute":
        return local
    return local.replace(minute=0) if query.unit == "hour" else local.replace(hour=0, minute=0, fold=0)


def _periods(rows: Iterable[LedgerRow], spooled: dict[tuple[datetime, str], int]) -> list[LedgerPeriod]:
    periods = []
    for row in rows:
        waiting = spooled.pop((row.start, row.source), 0)
        fates = row.stored + row.duplicate + row.rejected + row.bot + row.no_consent + row.limited
        counts = row._asdict() | {"received": row.received + waiting, "spooled": waiting}
        periods.append(LedgerPeriod(**counts, imbalance=row.received - fates))
    periods += [
        LedgerPeriod(start=start, source=source, received=waiting, spooled=waiting)
        for (start, source), waiting in spooled.items()
    ]
    return sorted(periods, key=lambda period: (period.start, period.source))


def _csv(periods: Iterable[LedgerPeriod]) -> str:
    """Times, our own names and numbers: nothing that a spreadsheet could take for a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["start", "source", *LedgerCounts.model_fields])
    writer.writeheader()
    writer.writerows(period.model_dump(mode="json") for period in periods)
    return text.getvalue()
